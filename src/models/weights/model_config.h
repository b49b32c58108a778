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

// kSwigluOai: gate / (1 + exp(-1.702 gate)) * (up + 1), as in gpt-oss.
enum class Activation : uint8_t { kSilu, kGeluTanh, kGeluErf, kSwigluOai };

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

  // longrope: divisors of the frequencies, dims / 2 each; UsesLongFactors says which of them count.
  std::vector<float> short_factors;
  std::vector<float> long_factors;

  // Divisors of the frequencies, dims / 2 or empty: GGUF's form of llama3 scaling (its tensor
  // rope_freqs.weight); `scaling` is kNone or kLinear then.
  std::vector<float> frequency_divisors;
};

enum class MoeScoring : uint8_t { kSoftmax, kSigmoid, kSqrtSoftplus };

// Mixture of experts: some layers' feed-forward part is `experts` small ones, of which each token
// uses `top`, and `shared` ones that every token uses, stored as one.
struct MoeConfig {
  uint32_t experts = 0;
  uint32_t top = 0;           // <= experts
  uint32_t intermediate = 0;  // of an expert
  uint32_t shared = 0;        // of `intermediate` each
  std::vector<bool> layers;   // [layers] that have experts
  MoeScoring scoring = MoeScoring::kSoftmax;
  bool selection_bias = false;  // added to scores for the choice only
  uint32_t hash_layers = 0;     // the first so many take a token's experts from a table by its id
  bool biases = false;          // of the router and of experts' matrices
  bool normalise = false;       // weights of the chosen sum to 1
  double scale = 1;             // multiplies weights
  uint32_t groups = 1;          // experts are chosen from the best top_groups of so many
  uint32_t top_groups = 1;
};

// Latent attention: keys and values of all heads are made from one row of kv_rank values, which the
// cache holds with rope_dim lanes of a key that all heads share.
// Source: DeepSeek-V2 report, section 2.1.
struct MlaConfig {
  uint32_t q_rank = 0;  // of the queries' own latent row; 0: none
  uint32_t kv_rank = 0;
  uint32_t nope_dim = 0;   // lanes of a query's head that do not turn
  uint32_t rope_dim = 0;   // lanes that do
  uint32_t value_dim = 0;  // of a head
};

// The lightning indexer of sparse attention: a token sees the `top` earlier tokens only whose keys,
// of head_dim values each, score best against its queries.
// Source: DeepSeek-V3.2 report, section 2.1.
struct IndexerConfig {
  uint32_t heads = 0;     // of queries; they share a token's key
  uint32_t head_dim = 0;  // at least rope.dims
  uint32_t top = 0;
};

// Attention over a window of keys, which are values too, and over entries that stand for several
// tokens each. Every layer has the window; `ratios` says how many tokens an entry stands for. Where
// entries are `chosen`, windows of an entry overlap and an indexer, over entries of its own, says
// which of them a token sees. The residual has several streams.
// Source: DeepSeek-V4 report, section 2.
struct CompressedConfig {
  std::vector<uint32_t> ratios;  // [layers]; 0: none
  std::vector<bool> chosen;      // [layers]
  uint32_t q_rank = 0;           // of the queries' latent row
  uint32_t rope_dim = 0;         // the last lanes of heads, which turn
  uint32_t out_groups = 0;       // of heads, each with an output matrix of its own; divides heads
  uint32_t out_rank = 0;         // of that matrix
  uint32_t streams = 0;
  uint32_t sinkhorn_rounds = 0;
  double stream_epsilon = 0;
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
  // Layers behind these that predict one more token each (MTP), as the file states them. Folders
  // often keep the number though their tensors were left out.
  uint32_t mtp_layers = 0;
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
  bool attention_sinks = false;               // a learned score per head that has no value
  double final_soft_cap = 0;                  // 0: none
  double embedding_scale = 1;                 // multiplies embeddings
  double logit_scale = 1;                     // multiplies logits
  Activation activation = Activation::kSilu;  // of the gate
  double gate_limit = 0;  // gate is at most this, up in [-this, this]; 0: any number

  std::optional<MoeConfig> moe;
  std::optional<MlaConfig> mla;
  std::optional<CompressedConfig>
      compressed;                        // rope is of layers with entries, local_rope of others
  std::optional<IndexerConfig> indexer;  // with mla, and then mla->q_rank > 0, or compressed

  bool tie_embeddings = false;  // the head's weights are the embedding's
  bool qkv_bias = false;
  bool attention_output_bias = false;
  bool mlp_bias = false;
  bool qk_norm = false;        // RMSNorm over each head of q and k before rope
  bool post_norms = false;     // norms after attention and MLP too (Gemma 2 and 3)
  bool fused_qkv = false;      // one tensor holds q, k and v (Phi 3)
  bool fused_gate_up = false;  // one tensor holds gate and up (Phi 3)

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

// Whether a longrope model that is opened for sequences of up to `context_tokens` (0: the model's
// own limit) takes its long factors: if that is beyond the original context. One list serves all
// sequences: keys in a KV cache are rotated already, so a sequence cannot change its list when it
// grows, nor share a prefix with one that has the other. False for models without longrope.
bool UsesLongFactors(const ModelConfig& config, uint64_t context_tokens);

// The architectures that the functions above know, for messages: "gemma2, llama, ...".
std::string KnownArchitectures();

}  // namespace pelton
