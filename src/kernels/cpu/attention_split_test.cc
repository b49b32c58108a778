// Attention whose keys are cut into parts and portions: the bits are those of heads in one piece.
#include <gtest/gtest.h>

#include <numeric>

#include "kernels/cpu/attention_case.h"
#include "kernels/reference/attention.h"

namespace pelton {
namespace cpu::amx {
void PromptAttention(const AttentionArgs&, size_t, size_t, std::byte*) noexcept;
}
namespace cpu::amx_emulated {
void PromptAttention(const AttentionArgs&, size_t, size_t, std::byte*) noexcept;
}
namespace cpu::amx_emulated_avx512 {
void PromptAttention(const AttentionArgs&, size_t, size_t, std::byte*) noexcept;
}
namespace {

// Positions of a part.
constexpr int32_t kPart = 1024;

constexpr OpImpl<AttentionArgs> kSplitPromptImpls[] = {
    {"amx_bf16", kCpuAmx | kCpuAvx512 | kCpuAvx512Vnni | kCpuAvx512Bf16, cpu::amx::PromptAttention},
    {"amx_emulated_avx512", kCpuAvx512 | kCpuAvx512Vnni, cpu::amx_emulated_avx512::PromptAttention},
    {"amx_emulated", kCpuGeneric, cpu::amx_emulated::PromptAttention}};

bool TakesPromptImpls(const AttentionShape& shape) {
  return shape.dim % 32 == 0 && shape.KeyDim() % 32 == 0;
}

std::vector<OpImpl<AttentionArgs>> ImplsToSplit(const AttentionShape& shape) {
  std::vector<OpImpl<AttentionArgs>> impls;
  if (TakesPromptImpls(shape)) {
    impls.assign(std::begin(kSplitPromptImpls), std::end(kSplitPromptImpls));
  }
  impls.insert(impls.end(), AttentionImpls().begin(), AttentionImpls().end());
  return impls;
}

template <typename T>
T OneOf(std::mt19937& rng, std::initializer_list<T> from) {
  return *(from.begin() + static_cast<std::ptrdiff_t>(rng() % from.size()));
}

// Calls run(begin, end) for random pieces of [0, units), in random order.
template <typename Run>
void InRandomPieces(std::mt19937& rng, size_t units, const Run& run) {
  std::vector<std::pair<size_t, size_t>> pieces;
  for (size_t begin = 0; begin < units;) {
    const size_t end = rng() % 2 == 0 ? begin + 1 : begin + 1 + rng() % (units - begin);
    pieces.emplace_back(begin, end);
    begin = end;
  }
  std::shuffle(pieces.begin(), pieces.end(), rng);
  for (const auto& [begin, end] : pieces) run(begin, end);
}

// Units in random pieces, with scratch memory of exactly the promised size, full of NaNs.
void RunPieces(std::mt19937& rng, const OpImpl<AttentionArgs>& impl, const AttentionArgs& args) {
  const AlignedBytes scratch(AttentionScratchBytes(args));
  InRandomPieces(rng, AttentionUnits(args), [&](size_t begin, size_t end) {
    std::memset(scratch.data(), 0xff, scratch.size());
    impl.run(args, begin, end, scratch.data());
  });
}

// Both calls of a split one.
void RunInPortions(std::mt19937& rng, const OpImpl<AttentionArgs>& impl, AttentionArgs args,
                   size_t portions) {
  args.split = SplitAttention(args, portions);
  const AlignedBytes states(AttentionStateBytes(args));
  std::memset(states.data(), 0xff, states.size());
  args.split.states = reinterpret_cast<float*>(states.data());
  ASSERT_EQ(AttentionUnits(args), portions);
  RunPieces(rng, impl, args);
  args.split.merge = true;
  RunPieces(rng, impl, args);
  EXPECT_EQ(states.data()[states.size()], std::byte{0xa5}) << "wrote behind the states";
}

AttentionShape LongShape(std::mt19937& rng, bool latent) {
  AttentionShape shape;
  if (latent) {
    shape.kv_heads = 1;
    shape.heads = OneOf<size_t>(rng, {1, 3, 8, 16});
    shape.dim = OneOf<size_t>(rng, {32, 40, 128});
    shape.rope_dim = OneOf<size_t>(rng, {8, 32});
    shape.dtype = OneOf(rng, {KvDType::kF32, KvDType::kF16});
    if (shape.dim % kFp8Group == 0) shape.dtype = OneOf(rng, {KvDType::kFp8, KvDType::kF16});
  } else {
    shape.kv_heads = OneOf<size_t>(rng, {1, 2, 3});
    shape.heads = shape.kv_heads * OneOf<size_t>(rng, {1, 3, 4, 8});
    shape.dim = OneOf<size_t>(rng, {6, 20, 32, 64});
    shape.dtype = OneOf(rng, {KvDType::kF32, KvDType::kF16});
    if (shape.dim % kQ8DimMultiple == 0 && rng() % 2 == 0) shape.dtype = KvDType::kQ8;
  }
  shape.block_tokens = OneOf<size_t>(rng, {5, 16, 32, 1000});
  shape.sinks = rng() % 3 == 0;
  for (size_t s = 0; s < 1 + rng() % 3; ++s) {
    const int32_t border = kPart * OneOf(rng, {1, 1, 2, 3});
    const int32_t context = border + OneOf(rng, {-1, 0, 1, 13, 300});
    shape.sequences.push_back({OneOf(rng, {1, 1, 1, 2, 5, 60}), context});
  }
  if (rng() % 3 == 0) shape.sequences.push_back({1, OneOf(rng, {1, 200})});
  return shape;
}

void RandomiseLong(std::mt19937& rng, AttentionArgs& args) {
  args.window = OneOf(rng, {0, 0, 0, 500, kPart, 1500, 2500});
  if (rng() % 4 == 0) args.soft_cap = 1.5f;
}

std::string DescribeLong(const AttentionShape& shape, const AttentionArgs& args) {
  std::string out = std::to_string(shape.heads) + "/" + std::to_string(shape.kv_heads) + "x" +
                    std::to_string(shape.dim) + "+" + std::to_string(shape.rope_dim) + " dtype " +
                    std::to_string(static_cast<int>(shape.dtype)) + " window " +
                    std::to_string(args.window) + (args.sinks != nullptr ? " sinks" : "");
  for (const auto& [count, context] : shape.sequences) {
    out += " (" + std::to_string(count) + "," + std::to_string(context) + ")";
  }
  return out;
}

TEST(AttentionSplitTest, PortionsHaveTheBitsOfHeads) {
  size_t cut = 0;
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    std::mt19937 rng(seed);
    const AttentionShape shape = LongShape(rng, seed % 2 == 0);
    const AttentionCase c(rng, shape);
    std::vector<float> want(c.rows() * c.width()), got(want.size());
    AttentionArgs args = c.Args(want.data());
    RandomiseLong(rng, args);
    SCOPED_TRACE(DescribeLong(shape, args));
    ForEachImpl<AttentionArgs>(ImplsToSplit(shape), [&](const OpImpl<AttentionArgs>& impl) {
      args.out = want.data();
      RunPieces(rng, impl, args);
      args.out = got.data();
      for (const size_t portions : {size_t{2}, 1 + rng() % 8, size_t{33}}) {
        std::fill(got.begin(), got.end(), -77.0f);
        RunInPortions(rng, impl, args, portions);
        ASSERT_TRUE(SameBits(got.data(), want.data(), want.size())) << portions << " portions";
        AttentionArgs split = args;
        split.split = SplitAttention(args, portions);
        cut += AttentionStateBytes(split) != 0 ? 1 : 0;
      }
    });
  }
  EXPECT_GT(cut, 40u);
}

TEST(AttentionSplitTest, PartsMatchTheReference) {
  for (uint32_t seed = 1; seed <= 14; ++seed) {
    std::mt19937 rng(seed + 100);
    const AttentionShape shape = LongShape(rng, seed % 2 == 0);
    const AttentionCase c(rng, shape);
    std::vector<float> out(c.rows() * c.width());
    AttentionArgs args = c.Args(out.data());
    RandomiseLong(rng, args);
    SCOPED_TRACE(DescribeLong(shape, args));
    const std::vector<double> want = reference::Attention(args);
    ForEachImpl(AttentionImpls(), [&](const OpImpl<AttentionArgs>& impl) {
      std::fill(out.begin(), out.end(), -77.0f);
      RunInPortions(rng, impl, args, 1 + rng() % 9);
      for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(out[i], want[i], 4e-6) << i;
    });
    if (!TakesPromptImpls(shape)) continue;
    ForEachImpl<AttentionArgs>(kSplitPromptImpls, [&](const OpImpl<AttentionArgs>& impl) {
      std::fill(out.begin(), out.end(), -77.0f);
      RunInPortions(rng, impl, args, 1 + rng() % 9);
      double sum = 0;
      for (size_t i = 0; i < want.size(); ++i) {
        ASSERT_NEAR(out[i], want[i], 0.03) << i;
        sum += std::abs(static_cast<double>(out[i]) - want[i]);
      }
      EXPECT_LT(sum / static_cast<double>(want.size()), 0.003);
    });
  }
}

// Chunks that end before, at and behind borders of parts, generated rows and neighbours.
TEST(AttentionSplitTest, BitsDoNotDependOnChunksAcrossParts) {
  for (uint32_t seed = 1; seed <= 10; ++seed) {
    std::mt19937 rng(seed + 200);
    AttentionShape shape = LongShape(rng, seed % 2 == 0);
    shape.heads = shape.kv_heads * std::min<size_t>(shape.heads / shape.kv_heads, 3);
    shape.sequences = {{60, 2 * kPart + 20}, {40, kPart + OneOf(rng, {0, 1, 40})}};
    const AttentionCase c(rng, shape);
    std::vector<float> want(c.rows() * c.width()), got(want.size());
    AttentionArgs args = c.Args(want.data());
    RandomiseLong(rng, args);
    SCOPED_TRACE(DescribeLong(shape, args));
    ForEachImpl<AttentionArgs>(ImplsToSplit(shape), [&](const OpImpl<AttentionArgs>& impl) {
      args.out = want.data();
      RunPieces(rng, impl, args);
      std::fill(got.begin(), got.end(), -77.0f);
      for (size_t s = 0; s < args.num_sequences; ++s) {
        const SequenceSpan& span = args.sequences[s];
        for (int32_t first = 0; first < span.count;) {
          const int32_t count = std::min(OneOf(rng, {1, 2, 19, 20, 40}), span.count - first);
          const SequenceSpan chunk = {0, count, span.context - span.count + first + count,
                                      span.block_table};
          AttentionArgs part = args;
          const size_t row = static_cast<size_t>(span.first_row) + static_cast<size_t>(first);
          part.q += row * args.q_stride;
          if (part.q_rope != nullptr) part.q_rope += row * args.q_rope_stride;
          part.out = got.data() + row * args.out_stride;
          part.sequences = &chunk;
          part.num_sequences = 1;
          if (rng() % 2 == 0) {
            RunPieces(rng, impl, part);
          } else {
            RunInPortions(rng, impl, part, 1 + rng() % 5);
          }
          first += count;
        }
      }
      ASSERT_TRUE(SameBits(got.data(), want.data(), want.size()));
    });
  }
}

TEST(AttentionSplitTest, StepRowsInPortionsMatchTheReference) {
  for (uint32_t seed = 1; seed <= 2; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 rng(seed + 300);
    const int32_t rows = kPart + OneOf(rng, {0, 1, 30});
    const AttentionShape shape = {
        .heads = 2, .kv_heads = 1, .dim = 32, .sequences = {{rows, rows}, {7, 7}}};
    AttentionCase c(rng, shape);
    std::vector<float> heads(c.rows() * c.width()), got(heads.size());
    AttentionArgs args = c.StepArgs(rng, heads.data());
    const std::vector<double> want = reference::Attention(args);
    ForEachImpl(AttentionImpls(), [&](const OpImpl<AttentionArgs>& impl) {
      args.out = heads.data();
      RunPieces(rng, impl, args);
      args.out = got.data();
      RunInPortions(rng, impl, args, 1 + rng() % 8);
      ASSERT_TRUE(SameBits(got.data(), heads.data(), heads.size()));
      for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 4e-6) << i;
    });
  }
}

// Parts are of places in the list.
TEST(AttentionSplitTest, ListsOfPositionsInPortionsMatchTheReference) {
  for (uint32_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 rng(seed + 400);
    AttentionShape shape = LongShape(rng, true);
    shape.sinks = false;
    shape.sequences = {{3, 3000}, {1, kPart + 1}, {2, 40}};
    const AttentionCase c(rng, shape);
    std::vector<float> heads(c.rows() * c.width()), got(heads.size());
    AttentionArgs args = c.Args(heads.data());
    args.top = OneOf<size_t>(rng, {kPart - 1, kPart, kPart + 1, 2 * kPart, 2500});
    std::vector<int32_t> positions;
    for (size_t s = 0; s < args.num_sequences; ++s) {
      for (int32_t row = 0; row < args.sequences[s].count; ++row) {
        const int32_t seen = args.sequences[s].context - args.sequences[s].count + row + 1;
        std::vector<int32_t> all(static_cast<size_t>(seen));
        std::iota(all.begin(), all.end(), 0);
        std::shuffle(all.begin(), all.end(), rng);
        all.resize(args.top, -1);
        std::sort(all.begin(),
                  all.begin() + std::min<int32_t>(seen, static_cast<int32_t>(args.top)));
        positions.insert(positions.end(), all.begin(), all.end());
      }
    }
    args.positions = positions.data();
    const std::vector<double> want = reference::Attention(args);
    ForEachImpl(AttentionImpls(), [&](const OpImpl<AttentionArgs>& impl) {
      args.out = heads.data();
      RunPieces(rng, impl, args);
      args.out = got.data();
      RunInPortions(rng, impl, args, 1 + rng() % 8);
      ASSERT_TRUE(SameBits(got.data(), heads.data(), heads.size()));
      for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 4e-6) << i;
    });
  }
}

TEST(AttentionSplitTest, QuantisedOutputIsTheSame) {
  std::mt19937 rng(5);
  const AttentionShape shape = {
      .heads = 6, .kv_heads = 2, .dim = 32, .sequences = {{1, 2500}, {3, 1100}}};
  const AttentionCase c(rng, shape);
  ForEachImpl<AttentionArgs>(ImplsToSplit(shape), [&](const OpImpl<AttentionArgs>& impl) {
    const size_t bytes = c.rows() * QuantizedRows::RowBytes(c.width());
    AlignedBytes got(bytes), want(bytes);
    AttentionArgs args = c.Args(nullptr);
    args.out_quantized = want.data();
    RunPieces(rng, impl, args);
    args.out_quantized = got.data();
    RunInPortions(rng, impl, args, 5);
    ExpectSameQuantized({got.data(), c.width()}, {want.data(), c.width()}, c.rows());
  });
}

TEST(AttentionSplitTest, SinksAndInfinitiesCountOnce) {
  std::mt19937 rng(6);
  AttentionCase c(rng, {.heads = 4, .kv_heads = 1, .dim = 32, .sequences = {{5, 2300}, {1, 1500}}});
  std::vector<float> out(c.rows() * c.width());
  AttentionArgs args = c.Args(out.data());
  const float sinks[] = {9, 500, -std::numeric_limits<float>::infinity(), -500};
  args.sinks = sinks;
  const auto check = [&](double bound) {
    const std::vector<double> want = reference::Attention(args);
    ForEachImpl(AttentionImpls(), [&](const OpImpl<AttentionArgs>& impl) {
      RunInPortions(rng, impl, args, 4);
      for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(out[i], want[i], bound) << i;
    });
  };
  check(4e-6);
  // The best key in any part, by far.
  args.scale = 40;
  args.sinks = nullptr;
  check(2e-3);
  // A value that is not finite reaches the rows that see it, in whatever part it is.
  c.SetToken(c.spans()[0], 1500, true, std::numeric_limits<float>::infinity());
  ForEachImpl(AttentionImpls(), [&](const OpImpl<AttentionArgs>& impl) {
    RunInPortions(rng, impl, args, 3);
    for (size_t i = 0; i < 5 * c.width(); ++i) ASSERT_FALSE(std::isfinite(out[i])) << i;
    for (size_t i = 5 * c.width(); i < out.size(); ++i) ASSERT_TRUE(std::isfinite(out[i])) << i;
  });
}

class SplitChoice {
 public:
  SplitChoice(const AttentionShape& shape, size_t workers) : rng_(1), case_(rng_, shape) {
    args_ = case_.Args(nullptr);
    room_ = AttentionStateRoom(args_, workers);
    args_.split = ChooseAttentionSplit(args_, workers, {Memory(), room_});
  }
  bool split() const { return args_.split.portions != 0; }
  size_t room() const { return room_; }
  size_t bytes() const { return AttentionStateBytes(args_); }

 private:
  // Choosing touches none of it.
  static std::byte* Memory() {
    alignas(64) static std::byte memory[64];
    return memory;
  }

  std::mt19937 rng_;
  AttentionCase case_;
  AttentionArgs args_{};
  size_t room_ = 0;
};

TEST(AttentionSplitTest, IsChosenWhereHeadsAreFewOrUnequal) {
  const AttentionShape one = {.heads = 8, .kv_heads = 1, .dim = 16, .sequences = {{1, 8000}}};
  EXPECT_FALSE(SplitChoice(one, 1).split());
  EXPECT_EQ(SplitChoice(one, 1).room(), 0u);
  for (const size_t workers : {3, 4, 8}) EXPECT_TRUE(SplitChoice(one, workers).split()) << workers;
  AttentionShape shape = one;
  shape.sequences = {{1, 900}};  // within a part
  EXPECT_FALSE(SplitChoice(shape, 8).split());
  shape.sequences = {{1, 8000}};
  shape.kv_heads = 8;  // a unit for each worker
  EXPECT_FALSE(SplitChoice(shape, 8).split());
  EXPECT_TRUE(SplitChoice(shape, 5).split());
  shape.kv_heads = 2;
  shape.sequences = {{1, 8000}, {1, 200}, {1, 300}, {1, 400}};  // one that is much longer
  EXPECT_TRUE(SplitChoice(shape, 2).split());
  shape.sequences.assign(16, {1, 1500});
  EXPECT_FALSE(SplitChoice(shape, 2).split());
  const AttentionShape latent = {
      .heads = 8, .kv_heads = 1, .dim = 32, .rope_dim = 16, .sequences = {{2, 16000}}};
  for (const size_t workers : {3, 4, 7}) {
    const SplitChoice choice(latent, workers);
    EXPECT_TRUE(choice.split());
    EXPECT_LE(choice.bytes(), choice.room());
  }
}

TEST(AttentionSplitTest, IsNotChosenWithoutRoom) {
  std::mt19937 rng(1);
  const AttentionCase c(rng, {.heads = 8, .kv_heads = 1, .dim = 16, .sequences = {{1, 8000}}});
  AttentionArgs args = c.Args(nullptr);
  const AlignedBytes memory(AttentionStateRoom(args, 4));
  const std::span<std::byte> room{memory.data(), memory.size()};
  args.split = ChooseAttentionSplit(args, 4, room);
  ASSERT_EQ(args.split.portions, 4u);
  const size_t bytes = AttentionStateBytes(args);
  EXPECT_EQ(ChooseAttentionSplit(args, 4, room.first(bytes)).portions, 4u);
  EXPECT_EQ(ChooseAttentionSplit(args, 4, room.first(bytes - 1)).portions, 0u);
  EXPECT_EQ(ChooseAttentionSplit(args, 4, {}).portions, 0u);
}

TEST(AttentionSplitTest, RoomThatNoNumberHoldsIsNone) {
  std::mt19937 rng(1);
  const AttentionCase c(rng, {.dim = 16, .sequences = {{1, 1}}});
  AttentionArgs args = c.Args(nullptr);
  const SequenceSpan span = {0, 1, std::numeric_limits<int32_t>::max(), nullptr};
  args.sequences = &span;
  args.heads = size_t{1} << 60;
  args.cache.kv_heads = 1;
  EXPECT_EQ(AttentionStateRoom(args, 1000), 0u);
}

}  // namespace
}  // namespace pelton
