// Portions of a call's keys, and when they are worth it.
#include "kernels/cpu/attention_split.h"

#include <algorithm>

#include "base/check.h"
#include "base/checked_math.h"

namespace pelton {
namespace cpu {
namespace {

// Work is counted in multiply-adds. A byte of keys and values takes as long as about two of them on
// one thread (Emerald Rapids: 30 G/s and 12 GB/s), a barrier as long as a hundred thousand.
constexpr double kByteWork = 2;
constexpr double kBarrierWork = 1e5;
// What a split must gain to be worth its states and their merge.
constexpr double kLeastGain = 1.1;

// Of a key for so many pairs that are computed together.
double KeyWork(const AttentionArgs& a, size_t pairs) {
  const size_t dims = a.cache.head_dim + a.cache.ValueDim();
  const size_t bytes =
      a.rows.k != nullptr ? dims * sizeof(float) : a.cache.Sides() * a.cache.RowBytes();
  return kByteWork * static_cast<double>(bytes) +
         static_cast<double>(pairs) * static_cast<double>(dims);
}

Range TileKeys(const AttentionArgs& a, const AttentionTile& tile) {
  return {VisibleKeys(a, tile, 0).begin, VisibleKeys(a, tile, tile.rows - 1).end};
}

// Heads from `head` on, up to `end`, that are computed together.
size_t HeadsTogether(const AttentionArgs& a, size_t rows, size_t head, size_t end) {
  const size_t group = a.heads / a.cache.kv_heads;
  return std::min({end - head, group - head % group, std::max<size_t>(1, kTilePairs / rows)});
}

double WorkOfHeads(const AttentionArgs& a, const AttentionTile& tile, size_t head, size_t end) {
  const Range keys = TileKeys(a, tile);
  double work = 0;
  for (size_t heads = 0; head < end; head += heads) {
    heads = HeadsTogether(a, tile.rows, head, end);
    work += static_cast<double>(keys.end - keys.begin) * KeyWork(a, tile.rows * heads);
  }
  return work;
}

// The most work that one of the workers has with units of heads.
double MostWorkOfUnits(const AttentionArgs& a, size_t workers) {
  const size_t units = AttentionUnits(a);
  size_t worker = 0, end = units / workers, unit = 0;
  double most = 0, work = 0;
  for (size_t s = 0; s < a.num_sequences; ++s) {
    const SequenceSpan& sequence = a.sequences[s];
    const size_t tiles = DivUp(static_cast<size_t>(sequence.count), AttentionTileRows(a));
    for (size_t turn = 0; turn < tiles; ++turn) {
      const AttentionTile tile = AttentionTileOfTurn(a, sequence, tiles, turn);
      for (size_t head = 0; head < a.heads;) {
        while (unit == end) {
          most = std::max(most, work);
          work = 0;
          ++worker;
          end = units * (worker + 1) / workers;
        }
        const size_t heads = std::min(a.heads - head, end - unit);
        work += WorkOfHeads(a, tile, head, head + heads);
        head += heads;
        unit += heads;
      }
    }
  }
  return std::max(most, work);
}

// The same of the portions of a split call.
double MostWorkOfPortions(const AttentionArgs& a) {
  AttentionBundles bundles(a);
  AttentionBundle bundle;
  double most = 0, work = 0, before = 0;
  size_t portion = 0;
  const auto add = [&](size_t to, double more) {
    if (to != portion) work = 0;
    portion = to;
    work += more;
    most = std::max(most, work);
  };
  while (bundles.Next(bundle)) {
    if (!bundle.IsCut()) {
      add(bundle.first_portion, bundles.work() - before);
    } else {
      for (size_t s = bundle.first_portion; s <= bundle.last_portion; ++s) {
        const Range parts = bundles.PartsOf(bundle, s);
        for (size_t part = parts.begin; part < parts.end; ++part) add(s, bundles.WorkOf(part));
      }
    }
    before = bundles.work();
  }
  return most;
}

// Whether some row may see more than a part.
bool HasParts(const AttentionArgs& a) {
  if (a.window != 0 && static_cast<size_t>(a.window) <= kPartKeys) return false;
  if (a.positions != nullptr && a.top <= kPartKeys) return false;
  return std::any_of(a.sequences, a.sequences + a.num_sequences, [](const SequenceSpan& sequence) {
    return static_cast<size_t>(sequence.context) > kPartKeys;
  });
}

}  // namespace

AttentionBundles::AttentionBundles(const AttentionArgs& args) noexcept
    : args_(args), tile_rows_(AttentionTileRows(args)), head_(args.heads) {}

bool AttentionBundles::NextTile() noexcept {
  for (; sequence_ < args_.num_sequences; ++sequence_, turn_ = 0) {
    const SequenceSpan& sequence = args_.sequences[sequence_];
    const size_t tiles = DivUp(static_cast<size_t>(sequence.count), tile_rows_);
    if (turn_ == tiles) continue;
    tile_ = AttentionTileOfTurn(args_, sequence, tiles, turn_++);
    keys_ = TileKeys(args_, tile_);
    return true;
  }
  return false;
}

bool AttentionBundles::Next(AttentionBundle& out) noexcept {
  if (head_ == args_.heads) {
    if (!NextTile()) return false;
    head_ = 0;
  }
  work_before_ += work_;
  out.tile = tile_;
  out.tile.head = head_;
  out.heads = HeadsTogether(args_, tile_.rows, head_, args_.heads);
  head_ += out.heads;
  key_work_ = KeyWork(args_, out.Pairs());
  work_ = static_cast<double>(keys_.end - keys_.begin) * key_work_;
  out.parts = {keys_.begin / kPartKeys, DivUp(keys_.end, kPartKeys)};
  out.first_portion = PortionOf(out.parts.begin);
  out.last_portion = PortionOf(out.parts.end - 1);
  out.state = states_;
  out.merged_parts = out.parts.end;
  if (out.IsCut()) {
    out.merged_parts = PartsOf(out, out.first_portion).end;
    states_ = out.StateOf(out.parts.end);
  }
  return true;
}

double AttentionBundles::WorkOf(size_t part) const noexcept {
  const size_t begin = std::max(part * kPartKeys, keys_.begin);
  const size_t end = std::min((part + 1) * kPartKeys, keys_.end);
  return static_cast<double>(end - begin) * key_work_;
}

// Where the middle of the part lies in all the work: never before that of an earlier part, since
// rounding keeps the order.
size_t AttentionBundles::PortionOf(size_t part) const noexcept {
  const AttentionSplit& split = args_.split;
  const size_t begin = std::max(part * kPartKeys, keys_.begin);
  const size_t end = std::min((part + 1) * kPartKeys, keys_.end);
  const double keys =
      static_cast<double>(begin - keys_.begin) + static_cast<double>(end - begin) / 2;
  const double place = (work_before_ + keys * key_work_) / split.work;
  return std::min(static_cast<size_t>(place * static_cast<double>(split.portions)),
                  split.portions - 1);
}

Range AttentionBundles::PartsOf(const AttentionBundle& bundle, size_t portion) const noexcept {
  Range parts = {bundle.parts.begin, bundle.parts.begin};
  while (parts.begin < bundle.parts.end && PortionOf(parts.begin) < portion) ++parts.begin;
  parts.end = parts.begin;
  while (parts.end < bundle.parts.end && PortionOf(parts.end) == portion) ++parts.end;
  return parts;
}

AttentionCut CutOf(const AttentionArgs& args) noexcept {
  AttentionBundles bundles(args);
  AttentionBundle bundle;
  size_t pairs = 0;
  while (bundles.Next(bundle)) pairs += bundle.IsCut() ? bundle.Pairs() : 0;
  return {pairs, bundles.states()};
}

}  // namespace cpu

AttentionSplit SplitAttention(const AttentionArgs& args, size_t portions) {
  PELTON_CHECK(portions > 0, "work is for someone");
  AttentionArgs whole = args;
  whole.split = {.portions = 1, .work = 1};
  cpu::AttentionBundles bundles(whole);
  cpu::AttentionBundle bundle;
  while (bundles.Next(bundle)) continue;
  return {.portions = portions, .work = bundles.work()};
}

size_t AttentionStateBytes(const AttentionArgs& args) {
  const size_t floats = cpu::AttentionStateFloats(RoundUp(args.cache.ValueDim(), 16));
  return cpu::CutOf(args).states * floats * sizeof(float);
}

AttentionSplit ChooseAttentionSplit(const AttentionArgs& args, size_t workers,
                                    std::span<std::byte> states) {
  if (workers < 2 || states.empty() || !cpu::HasParts(args)) return {};
  AttentionArgs split = args;
  split.split = SplitAttention(args, workers);
  const double without = cpu::MostWorkOfUnits(args, workers);
  const auto gains = [&](double with) {
    return without > cpu::kLeastGain * (with + cpu::kBarrierWork);
  };
  // Most steps end here, where not even equal portions would gain.
  if (!gains(split.split.work / static_cast<double>(workers))) return {};
  if (!gains(cpu::MostWorkOfPortions(split))) return {};
  if (AttentionStateBytes(split) > states.size()) return {};
  split.split.states = reinterpret_cast<float*>(states.data());
  return split.split;
}

size_t AttentionStateRoom(const AttentionArgs& args, size_t workers) {
  if (workers < 2 || !cpu::HasParts(args)) return 0;
  size_t keys = 0;
  for (size_t s = 0; s < args.num_sequences; ++s) {
    keys = std::max(keys, static_cast<size_t>(args.sequences[s].context));
  }
  if (args.positions != nullptr) keys = std::min(keys, args.top);
  if (args.window != 0) keys = std::min(keys, static_cast<size_t>(args.window));
  // A window begins inside a part, too.
  const size_t parts = DivUp(keys, cpu::kPartKeys) + 1;
  // Each border between workers cuts one KV head at most; a sequence has so many heads.
  constexpr size_t kRows = 2;
  const size_t group = args.heads / args.cache.kv_heads;
  const size_t cut = CheckedMul(workers - 1, group).value_or(args.heads);
  const auto states = CheckedMul<size_t>(kRows * parts, std::min(cut, args.heads));
  const size_t floats = cpu::AttentionStateFloats(RoundUp(args.cache.ValueDim(), 16));
  return CheckedMul<size_t>(states.value_or(0), floats * sizeof(float)).value_or(0);
}

}  // namespace pelton
