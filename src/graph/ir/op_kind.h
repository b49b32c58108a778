#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace pelton {

// The ops of a graph. The first group is what models are built from; the second is made by passes.
enum class OpKind : uint8_t {
  kEmbedding,        // (ids, table) -> rows
  kMatmul,           // (x, weight, bias?, residual?) [activation] -> x * weight^T + bias + residual
  kRmsNorm,          // (x, weight) -> out
  kLayerNorm,        // (x, weight, bias) -> out
  kAdd,              // (a, b)
  kMul,              // (a, b)
  kSilu,             // (x)
  kGeluTanh,         // (x)
  kGeluErf,          // (x)
  kScale,            // (x) {by}
  kSoftCap,          // (x) {cap}
  kSliceCols,        // (x) {begin, count}: a view
  kGatherRows,       // (x, rows)
  kRopeFrequencies,  // () {dims, base, ...}: a constant list
  kRopeTable,        // (positions, frequencies) {magnitude}
  kRope,             // (x, table) {heads, interleaved}
  kKvWrite,          // (k, v, slots) {layer} -> cache
  kKvScores,         // (q, cache) {heads, kv_heads, layer}
  kMaskedSoftmax,    // (scores) {heads, window}
  kKvMix,            // (weights, cache) {heads, kv_heads, head_dim, layer}
  // Of whole sequences in the step, both directions, without a cache:
  kScores,   // (q, k) {heads, kv_heads}
  kSoftmax,  // (scores) {heads}
  kMix,      // (weights, v) {heads, kv_heads}
  // made by passes
  kAttention,      // (q, cache) {heads, kv_heads, layer, scale, cap, window}
  kSelfAttention,  // (q, k, v) {heads, kv_heads, scale}
  kRopeKvWrite,    // (q, k, v, table, slots) {heads, kv_heads, interleaved, layer} -> (q, cache)
  kAddRmsNorm,     // (x, add, weight) -> (sum, out)
  kGatedMul,       // (gate, up) {activation}: activation(gate) * up
  kGatedMatmul,    // (x, gate+up weight) {activation}
  kQuantize,       // (x) -> the rows in 8 bits
};

// What the verifier and the text form know about an op.
struct OpSchema {
  OpKind kind;
  std::string_view name;
  uint8_t min_inputs;
  uint8_t max_inputs;  // inputs past min_inputs may be absent
  uint8_t outputs;
  std::string_view attributes;  // the names it must have, separated by spaces, in printing order
};

const OpSchema& SchemaOf(OpKind kind);
std::optional<OpKind> ParseOpKind(std::string_view name);
std::span<const OpSchema> AllOps();

}  // namespace pelton
