#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "models/weights/gguf_metadata.h"
#include "models/weights/weight_source.h"

namespace pelton {

enum class Activation : uint8_t { kSilu, kGeluTanh, kGeluErf };

enum class RopeScaling : uint8_t { kNone, kLinear, kLlama3, kYarn, kLongRope };

// Rotary position embedding: lane pair i of a head turns by position * frequency(i) radians with
// frequency(i) = theta^(-2i / dims), changed as `scaling` says, for i < dims / 2.
struct RopeConfig {
  double theta = 10000;
  uint32_t dims = 0;         // lanes that turn, even; the other lanes of a head stay
  bool interleaved = false;  // pairs (2i, 2i + 1), otherwise (i, i + dims / 2)

  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1;                     // linear, llama3, yarn: the context grew by it
  uint64_t original_context_tokens = 0;  // llama3, yarn, longrope: before scaling
  double low_freq_factor = 1;            // llama3
  double high_freq_factor = 4;           // llama3
  double beta_fast = 32;                 // yarn
  double beta_slow = 1;                  // yarn
  bool truncate = true;                  // yarn: round the correction range to whole lanes
  double mscale_all_dim = 0;             // yarn, DeepSeek: 0 or the stated value
  double attention_factor = 1;           // multiplies cos and sin

  // longrope: divisors of the frequencies, dims / 2 each, for sequences up to
  // original_context_tokens and beyond.
  std::vector<float> short_factors;
  std::vector<float> long_factors;

  // Divisors of the frequencies, dims / 2 or empty: GGUF's form of llama3 scaling (its tensor
  // rope_freqs.weight); `scaling` is kNone or kLinear then.
  std::vector<float> frequency_divisors;
};

// Sampling that the model's authors advise, where they do.
struct SamplingDefaults {
  std::optional<bool> sample;  // false: greedy
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<double> min_p;
  std::optional<uint64_t> top_k;
  std::optional<double> repetition_penalty;
};

// What a transformer looks like, the same from both formats. Every value is checked:
// sizes are in range, kv_heads divides heads, ids lie in the vocabulary.
struct ModelConfig {
  std::string file;          // where it was read from, for messages
  std::string architecture;  // the builder that fits: "llama", "qwen2", "qwen3", "gemma2", ...
  std::string model_type;    // as the file states it: "mistral" is built as "llama"
  std::string name;          // for people; may be empty

  uint32_t layers = 0;
  uint32_t hidden = 0;
  uint32_t heads = 0;     // H
  uint32_t kv_heads = 0;  // G, divides H
  uint32_t head_dim = 0;  // D
  uint32_t intermediate = 0;
  uint32_t vocab = 0;
  uint64_t max_positions = 0;   // as the file states it
  uint64_t context_tokens = 0;  // the longest sequence that makes sense: with scaling, more

  double rms_epsilon = 0;         // of layer norms too
  double norm_weight_offset = 0;  // norms multiply by weight + this (1 in Gemma's safetensors)
  RopeConfig rope;
  std::optional<RopeConfig> local_rope;  // of windowed layers, where it differs

  // Keys that a row of a windowed layer may see, itself included: positions (p - window, p].
  uint32_t sliding_window = 0;        // 0: none
  std::vector<bool> windowed_layers;  // [layers]; all false if there is no window

  double attention_scale = 0;                 // multiplies q . k
  double attention_soft_cap = 0;              // 0: none
  double final_soft_cap = 0;                  // 0: none
  double embedding_scale = 1;                 // multiplies embeddings
  double logit_scale = 1;                     // multiplies logits
  Activation activation = Activation::kSilu;  // of the gate

  bool tie_embeddings = false;  // the head's weights are the embedding's
  bool qkv_bias = false;
  bool attention_output_bias = false;
  bool mlp_bias = false;
  bool qk_norm = false;     // RMSNorm over each head of q and k before rope
  bool post_norms = false;  // norms after attention and MLP too (Gemma 2 and 3)
  bool fused_qkv = false;   // one tensor holds q, k and v, another gate and up (Phi 3)

  // Encoders (BERT): every token sees the whole text, positions are learned, and the model gives
  // hidden states, or, with a classifier, numbers for a text or a pair of texts.
  bool encoder = false;
  uint32_t token_types = 0;  // of the segment embedding
  uint32_t classes = 0;      // 0: no classifier

  // How Hugging Face checkpoints say that weights are stored in FP8 with scales per block; 0: not.
  uint32_t fp8_block_rows = 0;
  uint32_t fp8_block_cols = 0;

  std::optional<uint32_t> bos_id;
  std::vector<uint32_t> eos_ids;  // any of them ends a sequence; ascending
  SamplingDefaults sampling;
};

// From a GGUF file's metadata (keys "llama.block_count" and so on) and, for what GGUF says by the
// presence or values of tensors, its weights. `file` names it in messages. DataLoss
// "FILE: FIELD: found X, expected Y" for values out of range, Unimplemented for an architecture or
// a feature that Pelton does not build.
Result<ModelConfig> ConfigFromGguf(const GgufMetadata& metadata, const WeightSource& weights,
                                   std::string_view file);

// From the text of a Hugging Face config.json; errors as above. `file` names it in messages.
Result<ModelConfig> ConfigFromJson(std::string_view text, std::string_view file);

// Adds what a generation_config.json says to `config`: more eos ids, sampling defaults.
Status AddGenerationConfig(std::string_view text, std::string_view file, ModelConfig* config);

// The architectures that the two functions above know, for messages: "gemma2, llama, ...".
std::string KnownArchitectures();

}  // namespace pelton
