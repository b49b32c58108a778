// The layer that predicts a further token: its graph, and checkpoints that hold it in part.
#include <string>
#include <tuple>
#include <vector>

#include "models/build/deepseek_files.h"

namespace pelton::test {
namespace {

constexpr std::string_view kStated = ",\"num_nextn_predict_layers\":1";

// A third layer with experts, and what is its own.
Tensors FolderWithMtp() {
  Tensors tensors = Folder();
  Tensors more;
  for (const auto& [name, tensor] : tensors) {
    if (!name.starts_with("model.layers.1.")) continue;
    more["model.layers.2." + name.substr(std::string_view("model.layers.1.").size())] = tensor;
  }
  tensors.merge(more);
  for (const char* norm : {"enorm", "hnorm", "shared_head.norm"}) {
    tensors[fmt::format("model.layers.2.{}.weight", norm)] = {{kHidden}};
  }
  tensors["model.layers.2.eh_proj.weight"] = {{kHidden, 2 * kHidden}};
  tensors["model.layers.2.embed_tokens.weight"] = {{kVocab, kHidden}};
  tensors["model.layers.2.shared_head.head.weight"] = {{kVocab, kHidden}};
  return tensors;
}

class MtpBuilderTest : public DeepseekBuilderTest {
 protected:
  const ModelFiles& OpenMtp(const Tensors& tensors) {
    return OpenFolder(tensors, Config(8, 3, kStated));
  }
  void ExpectMtpRefused(const Tensors& tensors, std::string_view problem) {
    const ModelFiles& files = OpenMtp(tensors);
    ASSERT_TRUE(HasMtpLayer(files.config, files.weights));
    const Result<Graph> graph = BuildMtpGraph(files.config, files.weights);
    ASSERT_FALSE(graph.ok()) << problem;
    EXPECT_EQ(graph.status().code(), StatusCode::kDataLoss);
    EXPECT_EQ(graph.status().message(), files.weights.FileOf(files.weights.tensors()[0]) +
                                            ": tensor " + std::string(problem));
  }
};

TEST_F(MtpBuilderTest, IsAGraphOfItsOwn) {
  const ModelFiles& files = OpenMtp(FolderWithMtp());
  EXPECT_EQ(files.config.mtp_layers, 1u);
  EXPECT_EQ(files.config.layers, 2u);
  const Result<Graph> graph = BuildMtpGraph(files.config, files.weights);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  ASSERT_EQ(graph->outputs.size(), 2u);
  EXPECT_EQ(ToText(graph->value(graph->outputs[0]).shape), "[R, 100]");
  EXPECT_EQ(ToText(graph->value(graph->outputs[1]).shape), "[R, 64]");
  ASSERT_TRUE(graph->FindValue("hidden").has_value());
  // The copies of embedding and head are those of the main model, which are in memory anyway.
  EXPECT_TRUE(graph->FindValue("lm_head.weight").has_value());
  EXPECT_FALSE(graph->FindValue("model.layers.2.embed_tokens.weight").has_value());
  EXPECT_EQ(CacheGeometryOf(files.config, KvDType::kF16, true).layers, 3u);

  const Result<Graph> main =
      BuildGraph(files.config, files.weights, 0, GraphOutputs::kLogitsAndHidden);
  ASSERT_TRUE(main.ok()) << main.status().message();
  EXPECT_EQ(ToText(main->value(main->outputs[1]).shape), "[T, 64]");
}

TEST_F(MtpBuilderTest, CopiesMayBeLeftOut) {
  Tensors tensors = FolderWithMtp();
  tensors.erase("model.layers.2.embed_tokens.weight");
  tensors.erase("model.layers.2.shared_head.head.weight");
  const ModelFiles& files = OpenMtp(tensors);
  EXPECT_TRUE(BuildMtpGraph(files.config, files.weights).ok());
}

TEST_F(MtpBuilderTest, ACheckpointMayStateALayerThatItLeftOut) {
  const ModelFiles& files = OpenMtp(Folder());
  EXPECT_EQ(files.config.mtp_layers, 1u);
  EXPECT_FALSE(HasMtpLayer(files.config, files.weights));
  const Result<Graph> graph = BuildMtpGraph(files.config, files.weights);
  ASSERT_FALSE(graph.ok());
  EXPECT_EQ(graph.status().code(), StatusCode::kNotFound);
  EXPECT_NE(graph.status().message().find(
                "multi-token prediction: found num_nextn_predict_layers 1 and no tensor "
                "model.layers.2.eh_proj.weight"),
            std::string::npos)
      << graph.status().message();
}

TEST_F(MtpBuilderTest, EveryTensorMustBeThere) {
  for (const char* name :
       {"enorm.weight", "hnorm.weight", "eh_proj.weight", "shared_head.norm.weight",
        "self_attn.o_proj.weight", "input_layernorm.weight", "mlp.experts.5.up_proj.weight"}) {
    Tensors tensors = FolderWithMtp();
    const std::string whole = fmt::format("model.layers.2.{}", name);
    ASSERT_EQ(tensors.erase(whole), 1u) << name;
    ExpectMtpRefused(tensors, whole + ": found none, expected one");
  }
}

TEST_F(MtpBuilderTest, ShapesMustFit) {
  const std::tuple<const char*, std::vector<uint64_t>, const char*> cases[] = {
      {"model.layers.2.enorm.weight", {63}, "found shape [63], expected [64]"},
      {"model.layers.2.eh_proj.weight", {64, 64}, "found shape [64, 64], expected [64, 128]"},
      {"model.layers.2.shared_head.head.weight",
       {99, 64},
       "found shape [99, 64], expected [100, 64]"}};
  for (const auto& [name, shape, problem] : cases) {
    Tensors tensors = FolderWithMtp();
    tensors[name].shape = shape;
    ExpectMtpRefused(tensors, fmt::format("{}: {}", name, problem));
  }
}

}  // namespace
}  // namespace pelton::test
