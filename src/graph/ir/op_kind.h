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
  kRopeTable,        // (positions, frequencies) {magnitude} [multiple]
  kRope,             // (x, table) {heads, interleaved} [first, back]
  kKvWrite,          // (k, v, slots) {layer} -> cache; latent: v lies behind k in a row
  kKvScores,         // (q, cache, q_rope?) {heads, kv_heads, layer}
  kMaskedSoftmax,    // (scores) {heads, window}
  kKvMix,            // (weights, cache) {heads, kv_heads, head_dim, layer}
  // Sparse attention over a latent cache (kernels/ops/indexer.h):
  kIndexWrite,     // (k, slots) {layer} -> cache
  kIndexScores,    // (q, weights, cache) {heads, layer} [ratio, begin]: of every cached position
  kTopPositions,   // (scores) {top} [ratio] -> i32[T, top]
  kKeepPositions,  // (kv_scores, positions) {heads}: all others become minus infinity
  // Attention over a window and compressed entries (kernels/ops/compressed.h):
  kCompressWrite,        // (value, gate, slots) {layer, begin} -> cache
  kCompress,             // (cache, bias, norm, table) {layer, begin, ratio, epsilon} -> cache
  kCompressedAttention,  // (q, cache, sinks, entries?, positions?)
                         // {heads, layer, scale, window, ratio, begin}
  // A residual of several streams (kernels/ops/streams.h):
  kStreamSpread,   // (x) {streams}
  kStreamWeights,  // (mixes, scale, base) {streams, rounds, epsilon}
  kStreamMerge,    // (x, weights) {streams}
  kStreamMix,      // (x, y, weights) {streams}
  // Mixture of experts (kernels/ops/experts.h); K experts of each token:
  kRoute,         // (logits, bias?, choices?) {top, groups, top_groups, scoring, normalise, by}
                  // -> (ids i32[T, K], weights)
  kExpertOrder,   // (ids, foreseen?) {experts} -> (order i32[K*T], starts i32[experts + 1]);
                  // foreseen: a guess of what the next layer's router will choose
  kExpertRows,    // (x, order) {top} -> x's rows for each pair of a token and a choice, in order
  kExpertMatmul,  // (rows, weight, starts) {experts}: by the expert that the rows belong to
  kExpertSum,     // (rows, order, weights): each token's, weighted
  kHeadMatmul,    // (x, weight) {heads}: each head's columns by that head's rows of the weight
  // Of whole sequences in the step, both directions, without a cache:
  kScores,   // (q, k) {heads, kv_heads}
  kSoftmax,  // (scores) {heads}
  kMix,      // (weights, v) {heads, kv_heads}
  // made by passes
  kAttention,      // (q, cache, q_rope?) {heads, kv_heads, layer, scale, cap, window}
  kSelfAttention,  // (q, k, v) {heads, kv_heads, scale}
  kRopeKvWrite,    // (q, k, v, table, slots) {heads, kv_heads, interleaved, layer} -> (q, cache)
  kAddRmsNorm,     // (x, add, weight) -> (sum, out)
  kGatedMul,       // (gate, up) {activation}: activation(gate) * up
  kGatedMatmul,    // (x, gate+up weight) {activation}
  kGatedExpertMatmul,  // (rows, gate+up weight, starts) {experts, activation}
  kExpertMatmulSum,    // (rows, weight, starts, order, weights) {experts}
  kSparseAttention,    // (q, cache, q_rope, positions) {heads, kv_heads, layer, scale}
  kExpandedAttention,  // (q, key, value, others, cache, q_rope) {heads, layer, scale}: rows of
                       // prompts; others' rows for the rest
  kQuantize,           // (x) -> the rows in 8 bits
  kRotate,             // (x): what W8 weights are multiplied by (kernels/ops/rotate.h)
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
