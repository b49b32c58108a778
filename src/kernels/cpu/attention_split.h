#pragma once

#include <cstddef>

#include "kernels/cpu/attention_tiles.h"

// How the keys of a call are cut into portions; the same for every ISA.
namespace pelton::cpu {

// Pairs of a row and a head that are computed together, and which portions have which of their
// parts.
struct AttentionBundle {
  [[gnu::always_inline]] size_t Pairs() const { return tile.rows * heads; }
  [[gnu::always_inline]] bool IsCut() const { return first_portion != last_portion; }
  // Where the states of a part are. The first portion merges its parts as it goes; each of the
  // others has states of its own.
  [[gnu::always_inline]] size_t StateOf(size_t part) const {
    return state + (part < merged_parts ? 0 : part - merged_parts + 1) * Pairs();
  }

  AttentionTile tile;
  size_t heads;  // of one KV head, from tile.head on
  Range parts;   // that some pair sees
  size_t first_portion;
  size_t last_portion;
  size_t merged_parts;  // end of the first portion's parts
  size_t state;         // if it is cut, the number of its first state
};

// The bundles of a split call in their order.
class AttentionBundles {
 public:
  // Requires: args.split has portions and work.
  explicit AttentionBundles(const AttentionArgs& args) noexcept;

  // The next one, or at first the first; false behind the last.
  bool Next(AttentionBundle& out) noexcept;
  // Parts of the last one that a portion has.
  Range PartsOf(const AttentionBundle& bundle, size_t portion) const noexcept;
  // Work of a part of the last one.
  double WorkOf(size_t part) const noexcept;
  // Work of all so far, and states of those that are cut.
  double work() const noexcept { return work_before_ + work_; }
  size_t states() const noexcept { return states_; }

 private:
  bool NextTile() noexcept;
  size_t PortionOf(size_t part) const noexcept;

  const AttentionArgs& args_;
  const size_t tile_rows_;
  size_t sequence_ = 0;
  size_t turn_ = 0;
  AttentionTile tile_ = {};
  size_t head_ = 0;         // of the next bundle
  Range keys_ = {0, 0};     // of the tile
  double key_work_ = 0;     // of the bundle
  double work_before_ = 0;  // of the bundles before
  double work_ = 0;         // of the bundle
  size_t states_ = 0;
};

// What a split leaves to the merge.
struct AttentionCut {
  size_t pairs;
  size_t states;
};
AttentionCut CutOf(const AttentionArgs& args) noexcept;

}  // namespace pelton::cpu
