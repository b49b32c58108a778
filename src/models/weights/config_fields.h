#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/status.h"
#include "models/weights/field_error.h"
#include "models/weights/model_config.h"

namespace pelton {

// What is shared by the two readers of ModelConfig: limits, what each architecture takes for
// granted, and templates over JsonFields and GgufFields, whose methods have the same names.

struct UnsignedRange {
  uint64_t min;
  uint64_t max;
};

// Far above every known model, and such that products of any three fit 64 bits.
inline constexpr UnsignedRange kLayersRange{1, 1024};
inline constexpr UnsignedRange kHiddenRange{1, 1u << 20};
inline constexpr UnsignedRange kHeadsRange{1, 4096};
inline constexpr UnsignedRange kHeadDimRange{1, 4096};
inline constexpr UnsignedRange kIntermediateRange{1, 1u << 22};
inline constexpr UnsignedRange kVocabRange{1, 1u << 24};
inline constexpr UnsignedRange kIdRange{0, kVocabRange.max - 1};
inline constexpr UnsignedRange kClassesRange{1, 1u << 16};
inline constexpr UnsignedRange kPositionsRange{1, (1u << 31) - 1};  // positions are int32

struct NumberRange {
  double min;
  double max;
};

inline constexpr NumberRange kEpsilonRange{1e-30, 1};
inline constexpr NumberRange kThetaRange{1, 1e12};
inline constexpr NumberRange kFactorRange{1e-3, 1e6};
inline constexpr NumberRange kCapRange{1e-3, 1e6};

// Which layers a stated sliding window applies to, unless the file lists them.
enum class WindowRule : uint8_t {
  kNever,  // the architecture has none
  kAll,
  kUpperLayers,  // from max_window_layers on, and only if use_sliding_window is true
  kPattern,      // all but every n-th
};

// How the experts of an architecture are stated, in config.json.
enum class ExpertRule : uint8_t {
  kNone,
  kGgufOnly,  // Mixtral's GGUF files are of the architecture llama
  kMixtral,
  kQwen3,
  kDeepseek2,
  kDeepseek3,
  kDeepseek4,
  kGptOss,
};

struct ArchitectureTraits {
  std::string_view model_type;  // in config.json; empty: not known there
  std::string_view gguf_name;   // in general.architecture; empty: not known there
  std::string_view builder;     // ModelConfig::architecture
  bool gguf_interleaved = false;
  bool tied_by_default = false;
  bool has_qkv_bias = false;       // always; otherwise attention_bias says
  bool biased_by_default = false;  // what attention_bias is where it is not stated
  bool has_qk_norm = false;
  bool is_gemma = false;       // offset norms, post norms, scaled embeddings, query_pre_attn_scalar
  bool fused_weights = false;  // one tensor holds q, k and v, another gate and up
  bool encoder = false;
  ExpertRule experts = ExpertRule::kNone;
  bool has_mla = false;
  bool has_sinks = false;
  bool yarn_truncate = true;        // in GGUF, which does not state it
  double default_swiglu_limit = 0;  // not 0: the gate is gpt-oss'
  bool has_indexer = false;         // beside latent attention
  bool has_compressed = false;      // attention over compressed entries, and streams
  WindowRule window_rule = WindowRule::kNever;
  uint32_t window_pattern = 0;    // kPattern
  uint32_t default_window = 0;    // where the file states none
  uint32_t default_head_dim = 0;  // 0: hidden / heads
  double default_theta = 10000;
  double local_theta = 0;  // 0: windowed layers turn as the others
  double default_attention_cap = 0;
  double default_final_cap = 0;
};

// nullptr: not known.
const ArchitectureTraits* FindModelType(std::string_view model_type);
const ArchitectureTraits* FindGgufArchitecture(std::string_view name);

// How the file calls the values that checks across fields complain about.
struct ConfigFieldNames {
  std::string_view heads;
  std::string_view kv_heads;
  std::string_view head_dim;
  std::string_view rope_dims;
  std::string_view bos;
  std::string_view eos;
};

// Checks that involve several fields, and values that follow from others. The last step of both
// readers. Sorts eos_ids.
Status FinishConfig(const ConfigFieldNames& names, ModelConfig* config);

// ids lie below the vocabulary's size; sorts them and removes repetitions.
Status CheckEosIds(std::string_view file, std::string_view field, uint32_t vocab,
                   std::vector<uint32_t>* ids);

// YaRN's and longrope's default factors of cos and sin.
// Source: Peng et al. 2023, YaRN, section 3.4; Ding et al. 2024, LongRoPE, section 3.3 as in Phi 3.
double YarnAttentionFactor(double factor, double mscale);
double LongRopeAttentionFactor(double factor, uint64_t original_context_tokens);

template <typename Fields>
Status MissingField(const Fields& fields, std::string_view name, std::string_view expected) {
  return FieldError(fields.file(), fields.PathOf(name), "nothing", expected);
}

// Reads an integer that must be there.
template <typename Fields, typename T>
Status NeedUnsigned(const Fields& fields, std::string_view name, UnsignedRange range, T* out) {
  ASSIGN_OR_RETURN(const auto value, fields.Unsigned(name, range.min, range.max));
  if (!value) {
    return MissingField(fields, name,
                        fmt::format("an integer from {} to {}", range.min, range.max));
  }
  *out = static_cast<T>(*value);
  return OkStatus();
}

// Reads an integer that may be absent: then `out` keeps its value.
template <typename Fields, typename T>
Status TakeUnsigned(const Fields& fields, std::string_view name, UnsignedRange range, T* out) {
  ASSIGN_OR_RETURN(const auto value, fields.Unsigned(name, range.min, range.max));
  if (value) *out = static_cast<T>(*value);
  return OkStatus();
}

template <typename Fields>
Status NeedNumber(const Fields& fields, std::string_view name, NumberRange range, double* out) {
  ASSIGN_OR_RETURN(const auto value, fields.Number(name, range.min, range.max));
  if (!value) {
    return MissingField(fields, name, fmt::format("a number from {} to {}", range.min, range.max));
  }
  *out = *value;
  return OkStatus();
}

template <typename Fields>
Status TakeNumber(const Fields& fields, std::string_view name, NumberRange range, double* out) {
  ASSIGN_OR_RETURN(const auto value, fields.Number(name, range.min, range.max));
  if (value) *out = *value;
  return OkStatus();
}

template <typename Fields>
Status TakeBool(const Fields& fields, std::string_view name, bool* out) {
  ASSIGN_OR_RETURN(const auto value, fields.Bool(name));
  if (value) *out = *value;
  return OkStatus();
}

}  // namespace pelton
