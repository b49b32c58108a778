// BERT against an independent reference: hidden states at every fusion level, many texts in a step.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "golden_case.h"
#include "models/build/build_graph.h"
#include "models/weights/safetensors.h"

namespace pelton::golden {
namespace {

using Json = nlohmann::json;

struct Text {
  std::vector<int32_t> ids, types;
};

// Runs all texts in one step; the hidden states of every token, [tokens, hidden].
std::vector<float> HiddenStates(const std::string& folder, const PassOptions& passes,
                                const std::vector<Text>& texts) {
  Result<ModelFiles> files = OpenModel(folder);
  PELTON_CHECK(files.ok(), files.status().message().c_str());
  Result<Graph> graph = BuildGraph(files->config, files->weights);
  PELTON_CHECK(graph.ok(), graph.status().message().c_str());
  const auto reports = RunPasses(passes, *graph);
  PELTON_CHECK(reports.ok(), reports.status().message().c_str());
  ThreadPool pool(2);
  Result<PackedStore> weights = PackedStore::Pack(*graph, pool, [](const StoredTensor&) {});
  PELTON_CHECK(weights.ok(), weights.status().message().c_str());
  std::vector<int32_t> tokens, positions, types, rows;
  std::vector<SequenceSpan> sequences;
  for (const Text& text : texts) {
    const auto count = static_cast<int32_t>(text.ids.size());
    sequences.push_back({static_cast<int32_t>(tokens.size()), count, count, nullptr});
    for (int32_t i = 0; i < count; ++i) {
      rows.push_back(static_cast<int32_t>(rows.size()));
      positions.push_back(i);
    }
    tokens.insert(tokens.end(), text.ids.begin(), text.ids.end());
    types.insert(types.end(), text.types.begin(), text.types.end());
  }
  const StepLimits limits{.max_tokens = tokens.size(),
                          .max_sequences = texts.size(),
                          .max_logit_rows = tokens.size(),
                          .max_context = tokens.size()};
  auto executor = GraphExecutor::Create(std::move(graph).value(), std::move(weights).value(), {},
                                        pool, {.limits = limits});
  PELTON_CHECK(executor.ok(), executor.status().message().c_str());
  const std::span<float> out = (*executor)->Run({.tokens = tokens,
                                                 .positions = positions,
                                                 .slots = {},
                                                 .sequences = sequences,
                                                 .logit_rows = rows,
                                                 .token_types = types});
  return {out.begin(), out.end()};
}

class BertTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::optional<std::string> full = FullSet();
    if (!full) GTEST_SKIP() << "the golden models are not here: BERT's 3 texts not seen";
    folder_ = *full + "/models/bert";
    std::ifstream file(folder_ + "/golden.json");
    json_ = Json::parse(file);
    const std::string path = folder_ + "/golden.safetensors";
    Result<MappedFile> tensors = MappedFile::Open(path);
    ASSERT_TRUE(tensors.ok());
    const Result<SafetensorsImage> image = ParseSafetensors(tensors->bytes(), path);
    ASSERT_TRUE(image.ok()) << image.status().message();
    for (const Json& prompt : json_["prompts"]) {
      texts_.push_back({prompt["ids"], prompt["token_type_ids"]});
      const std::string name = prompt["name"];
      for (const TensorInfo& tensor : image->tensors) {
        if (tensor.name != name + ".embedding") continue;
        std::vector<float>& want = wanted_.emplace_back(tensor.data.size() / sizeof(float));
        std::memcpy(want.data(), tensor.data.data(), tensor.data.size());
      }
    }
    ASSERT_EQ(wanted_.size(), texts_.size());
  }

  // The largest error of the normalised means of all texts.
  double WorstError(const std::vector<float>& hidden) const {
    const size_t width = wanted_[0].size();
    double worst = 0;
    size_t row = 0;
    for (size_t t = 0; t < texts_.size(); ++t) {
      std::vector<double> sum(width);
      for (size_t i = 0; i < texts_[t].ids.size(); ++i, ++row) {
        for (size_t d = 0; d < width; ++d) sum[d] += hidden[row * width + d];
      }
      double squares = 0;
      for (const double x : sum) squares += x * x;
      for (size_t d = 0; d < width; ++d) {
        const double error = std::abs(sum[d] / std::sqrt(squares) - wanted_[t][d]);
        if (!(error <= worst)) worst = error;  // NaN counts
      }
    }
    return worst;
  }

  std::string folder_;
  Json json_;
  std::vector<Text> texts_;
  std::vector<std::vector<float>> wanted_;
};

TEST_F(BertTest, ExactAndFastAtEveryFusionLevel) {
  const Json& advised = json_["tolerance"]["advised_max_abs_error"];
  for (int level = 0; level <= 3; ++level) {
    SCOPED_TRACE(fmt::format("fusion level {}", level));
    EXPECT_LE(WorstError(HiddenStates(
                  folder_, {.numerics = Numerics::kExact, .fusion_level = level}, texts_)),
              advised["float32"]);
    EXPECT_LE(WorstError(HiddenStates(folder_, {.numerics = Numerics::kFast, .fusion_level = level},
                                      texts_)),
              advised["bfloat16"]);
  }
}

TEST_F(BertTest, ATextsBitsDoNotDependOnTheOthersInTheStep) {
  for (const Numerics numerics : {Numerics::kExact, Numerics::kFast}) {
    const PassOptions passes{.numerics = numerics};
    const std::vector<float> together = HiddenStates(folder_, passes, texts_);
    size_t begin = 0;
    for (const Text& text : texts_) {
      const std::vector<float> alone = HiddenStates(folder_, passes, {text});
      ASSERT_LE(begin + alone.size(), together.size());
      EXPECT_EQ(std::memcmp(alone.data(), together.data() + begin, alone.size() * sizeof(float)),
                0);
      begin += alone.size();
    }
  }
}

}  // namespace
}  // namespace pelton::golden
