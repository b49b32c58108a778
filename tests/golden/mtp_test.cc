// The layer that predicts a further token (MTP) against results of an independent reference: its
// logits at prompt positions, its drafts along the recorded continuation, and a second draft that
// goes on from the layer's own output.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>

#include "golden_case.h"
#include "models/build/build_graph.h"
#include "models/weights/safetensors.h"

namespace pelton::golden {
namespace {

constexpr size_t kBlockTokens = 32;
constexpr size_t kMaxContext = 256;

template <typename T>
T ValueOrDie(Result<T> result) {
  PELTON_CHECK(result.ok(), result.status().message().c_str());
  return std::move(result).value();
}

// The main model and its MTP layer on two executors over one cache; one sequence.
class MtpRunner {
 public:
  MtpRunner(const std::string& path, const PassOptions& passes)
      : files_(ValueOrDie(OpenModel(path))), pool_(2) {
    const KvDType dtype = passes.numerics == Numerics::kExact ? KvDType::kF32 : KvDType::kF16;
    KvCacheView view = CacheGeometryOf(files_.config, dtype, true);
    view.block_tokens = kBlockTokens;
    view.num_blocks = kMaxContext / kBlockTokens;
    cache_ = ValueOrDie(Arena::Allocate(view.num_blocks * view.BlockBytes(), "cache"));
    view.data = cache_.data();
    block_table_.resize(view.num_blocks);
    std::iota(block_table_.begin(), block_table_.end(), 0);
    std::shuffle(block_table_.begin(), block_table_.end(), std::mt19937(7));

    Graph graph = ValueOrDie(
        BuildGraph(files_.config, files_.weights, kMaxContext, GraphOutputs::kLogitsAndHidden));
    ValueOrDie(RunPasses(passes, graph));
    PackedStore weights = ValueOrDie(PackedStore::Pack(graph, pool_, [](const StoredTensor&) {}));
    Graph mtp_graph = ValueOrDie(BuildMtpGraph(files_.config, files_.weights));
    ValueOrDie(RunPasses(passes, mtp_graph));
    PackedStore mtp_weights =
        ValueOrDie(PackedStore::Pack(mtp_graph, pool_, [](const StoredTensor&) {}, nullptr,
                                     {{.graph = &graph, .weights = &weights}}));
    const ExecutorOptions options{.limits = {.max_tokens = kMaxContext,
                                             .max_sequences = 1,
                                             .max_logit_rows = kMaxContext,
                                             .max_context = kMaxContext}};
    main_ = ValueOrDie(
        GraphExecutor::Create(std::move(graph), std::move(weights), view, pool_, options));
    mtp_ = ValueOrDie(
        GraphExecutor::Create(std::move(mtp_graph), std::move(mtp_weights), view, pool_, options));
  }

  size_t vocab() const { return main_->vocab_size(); }

  // Hidden states of all tokens, from position 0 on.
  std::vector<float> Hidden(std::span<const int32_t> tokens) {
    Run(*main_, tokens, 0);
    return {main_->hidden().begin(), main_->hidden().end()};
  }

  // Rows from `begin` on. next_ids[i] follows the token that hidden state i is of.
  struct Drafted {
    std::vector<float> logits, hidden;
  };
  Drafted Draft(std::span<const int32_t> next_ids, std::span<const float> hidden, size_t begin) {
    const std::span<float> in = mtp_->HiddenInput(next_ids.size());
    PELTON_CHECK(in.size() == hidden.size(), "a hidden state for each token");
    std::copy(hidden.begin(), hidden.end(), in.begin());
    const std::span<float> logits = Run(*mtp_, next_ids, begin);
    return {{logits.begin(), logits.end()}, {mtp_->hidden().begin(), mtp_->hidden().end()}};
  }

 private:
  std::span<float> Run(GraphExecutor& executor, std::span<const int32_t> tokens, size_t begin) {
    std::vector<int32_t> positions(tokens.size()), slots, rows(tokens.size());
    std::iota(positions.begin(), positions.end(), static_cast<int32_t>(begin));
    std::iota(rows.begin(), rows.end(), 0);
    for (const int32_t position : positions) {
      const auto p = static_cast<size_t>(position);
      slots.push_back(block_table_[p / kBlockTokens] * static_cast<int32_t>(kBlockTokens) +
                      static_cast<int32_t>(p % kBlockTokens));
    }
    const SequenceSpan sequence{0, static_cast<int32_t>(tokens.size()),
                                static_cast<int32_t>(begin + tokens.size()), block_table_.data()};
    return executor.Run({.tokens = tokens,
                         .positions = positions,
                         .slots = slots,
                         .sequences = std::span(&sequence, 1),
                         .logit_rows = rows});
  }

  ModelFiles files_;
  ThreadPool pool_;
  Arena cache_;
  std::vector<int32_t> block_table_;
  std::unique_ptr<GraphExecutor> main_;
  std::unique_ptr<GraphExecutor> mtp_;
};

class MtpTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::optional<std::string> full = FullSet();
    if (!full) GTEST_SKIP() << "the full set of golden models is not here";
    folder_ = *full + "/models/deepseek-v3-mtp";
    case_ = LoadCases(folder_, "deepseek-v3-mtp")[0];
    std::ifstream json(folder_ + "/golden.json");
    record_ = nlohmann::json::parse(json)["mtp"]["prompts"];
    file_ = ValueOrDie(MappedFile::Open(folder_ + "/golden.safetensors"));
    image_ = ValueOrDie(ParseSafetensors(file_->bytes(), folder_));
  }

  std::vector<float> Tensor(const std::string& name) const {
    for (const TensorInfo& tensor : image_->tensors) {
      if (tensor.name != name) continue;
      std::vector<float> values(tensor.NumElements());
      std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
      return values;
    }
    PELTON_CHECK(false, "the results hold this tensor");
    return {};
  }

  std::string folder_;
  Case case_;
  nlohmann::json record_;
  std::optional<MappedFile> file_;
  std::optional<SafetensorsImage> image_;
};

double MaxDifference(std::span<const float> got, std::span<const float> want) {
  double worst = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double difference = std::abs(double{got[i]} - want[i]);
    if (!(difference <= worst)) worst = difference;  // NaN counts
  }
  return worst;
}

int32_t BestOf(std::span<const float> row) {
  return static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

TEST_F(MtpTest, ExactNumericsAtEveryFusionLevel) {
  for (int level = 0; level <= 3; ++level) {
    MtpRunner runner(folder_, {.numerics = Numerics::kExact, .fusion_level = level});
    const size_t vocab = runner.vocab();
    for (size_t p = 0; p < case_.prompts.size(); ++p) {
      const Prompt& prompt = case_.prompts[p];
      SCOPED_TRACE(fmt::format("fusion level {} {}", level, prompt.name));
      std::vector<int32_t> ids = prompt.ids;
      ids.insert(ids.end(), prompt.greedy_ids.begin(), prompt.greedy_ids.end());
      const std::vector<float> hidden = runner.Hidden(std::span(ids).first(ids.size() - 1));
      const auto drafted = runner.Draft(std::span(ids).subspan(1), hidden, 0);
      const auto row = [&](const std::vector<float>& logits, size_t i) {
        return std::span(logits).subspan(i * vocab, vocab);
      };
      const std::vector<float> want = Tensor(prompt.name + ".mtp_logits");
      for (size_t r = 0; r < prompt.logits_positions.size(); ++r) {
        EXPECT_LE(MaxDifference(row(drafted.logits, prompt.logits_positions[r]), row(want, r)),
                  case_.float32_tolerance);
      }
      const size_t count = prompt.ids.size();
      const auto draft_ids = record_[p]["draft_ids"].get<std::vector<int32_t>>();
      for (size_t n = 0; n < draft_ids.size(); ++n) {
        EXPECT_EQ(BestOf(row(drafted.logits, count - 1 + n)), draft_ids[n]) << "draft " << n;
      }
      // Row by row it is the same as in one piece.
      const size_t width = hidden.size() / (ids.size() - 1);
      for (size_t i = 0; i < count; ++i) {
        const auto one =
            runner.Draft(std::span(&ids[i + 1], 1), std::span(hidden).subspan(i * width, width), i);
        EXPECT_LE(MaxDifference(one.logits, row(drafted.logits, i)), case_.float32_tolerance);
      }
      // The same layer again, over tokens moved on by one, from its own output.
      std::vector<int32_t> shifted(ids.begin() + 2,
                                   ids.begin() + static_cast<std::ptrdiff_t>(count) + 1);
      shifted.push_back(draft_ids[0]);
      const auto second = runner.Draft(shifted, std::span(drafted.hidden).first(count * width), 0);
      EXPECT_LE(MaxDifference(row(second.logits, count - 1),
                              Tensor(prompt.name + ".mtp_second_logits.after_norm")),
                case_.float32_tolerance);
    }
  }
}

TEST_F(MtpTest, TheHeadIsInMemoryOnce) {
  const ModelFiles files = ValueOrDie(OpenModel(folder_));
  Graph main = ValueOrDie(BuildGraph(files.config, files.weights));
  Graph mtp = ValueOrDie(BuildMtpGraph(files.config, files.weights));
  ValueOrDie(RunPasses({.numerics = Numerics::kExact}, main));
  ValueOrDie(RunPasses({.numerics = Numerics::kExact}, mtp));
  const size_t alone = ValueOrDie(PackedStore::BytesFor(mtp));
  const size_t beside = ValueOrDie(PackedStore::BytesFor(mtp, &main));
  EXPECT_GE(alone - beside, size_t{files.config.vocab} * files.config.hidden * 2);
}

}  // namespace
}  // namespace pelton::golden
