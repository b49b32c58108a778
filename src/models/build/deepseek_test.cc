// Graphs of DeepSeek's experts and latent attention from small files in both formats. What they
// compute is checked against an independent reference in tests/golden; here: which tensor goes
// where. Refusals are in deepseek_errors_test.cc.
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "graph/ir/stored_rows.h"
#include "models/build/deepseek_files.h"

namespace pelton::test {
namespace {

std::vector<const Node*> NodesOf(const Graph& graph, OpKind kind) {
  std::vector<const Node*> nodes;
  for (const Node& node : graph.nodes) {
    if (node.kind == kind) nodes.push_back(&node);
  }
  return nodes;
}

const Node& ProducerOf(const Graph& graph, ValueId id) {
  const int producer = Uses(graph).Producer(id);
  PELTON_CHECK(producer >= 0, "an op made this value");
  return graph.nodes[static_cast<size_t>(producer)];
}

const ConstantData& WeightOf(const Graph& graph, const Node& matmul) {
  return graph.value(matmul.inputs[1]).constant;
}

const ConstantData& ConstantOf(const Graph& graph, const std::string& name) {
  const std::optional<ValueId> id = graph.FindValue(name);
  PELTON_CHECK(id.has_value(), name.c_str());
  return graph.value(*id).constant;
}

// `rows` rows of a tensor of the file from `first` on, in place.
void ExpectRows(const ModelFiles& files, const StoredTensor& stored, const std::string& name,
                uint64_t first, uint64_t rows, uint64_t cols) {
  SCOPED_TRACE(fmt::format("{} from row {}", name, first));
  const TensorInfo* whole = files.weights.Find(name);
  ASSERT_NE(whole, nullptr);
  EXPECT_EQ(stored.rows, static_cast<int64_t>(rows));
  EXPECT_EQ(stored.cols, static_cast<int64_t>(cols));
  EXPECT_EQ(stored.data.data() - whole->data.data(), static_cast<ptrdiff_t>(first * cols * 4));
  EXPECT_EQ(stored.data.size(), rows * cols * 4);
}

std::vector<float> NumbersOf(const ConstantData& data) {
  std::vector<float> all;
  for (const StoredTensor& tensor : data.tensors) {
    std::vector<float> part(static_cast<size_t>(tensor.rows * tensor.cols));
    DecodeRows(tensor, 0, tensor.rows, part.data());
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

TEST_F(DeepseekBuilderTest, ExpertsOfAFolderAreOneConstantEach) {
  const ModelFiles& files = OpenFolder(Folder());
  const Graph graph = Build(files);
  const std::vector<const Node*> matmuls = NodesOf(graph, OpKind::kExpertMatmul);
  ASSERT_EQ(matmuls.size(), 3u);  // of the second layer: the first is dense
  const char* parts[] = {"gate_proj", "up_proj", "down_proj"};
  for (size_t i = 0; i < 3; ++i) {
    const ConstantData& weight = WeightOf(graph, *matmuls[i]);
    EXPECT_EQ(weight.groups, static_cast<int64_t>(kExperts));
    ASSERT_EQ(weight.tensors.size(), kExperts);
    for (uint64_t e = 0; e < kExperts; ++e) {
      const std::string name = fmt::format("model.layers.1.mlp.experts.{}.{}.weight", e, parts[i]);
      EXPECT_EQ(weight.tensors[e].name, name);
      ExpectRows(files, weight.tensors[e], name, 0, i < 2 ? kExpertInner : kHidden,
                 i < 2 ? kHidden : kExpertInner);
    }
  }
}

TEST_F(DeepseekBuilderTest, ExpertsOfGgufAreRowsOfOneTensor) {
  const ModelFiles& files = OpenGguf(Gguf());
  const Graph graph = Build(files);
  const std::vector<const Node*> matmuls = NodesOf(graph, OpKind::kExpertMatmul);
  ASSERT_EQ(matmuls.size(), 3u);
  const char* parts[] = {"gate", "up", "down"};
  for (size_t i = 0; i < 3; ++i) {
    const ConstantData& weight = WeightOf(graph, *matmuls[i]);
    EXPECT_EQ(weight.groups, static_cast<int64_t>(kExperts));
    ASSERT_EQ(weight.tensors.size(), kExperts);
    const uint64_t rows = i < 2 ? kExpertInner : kHidden, cols = i < 2 ? kHidden : kExpertInner;
    for (uint64_t e = 0; e < kExperts; ++e) {
      ExpectRows(files, weight.tensors[e], fmt::format("blk.1.ffn_{}_exps.weight", parts[i]),
                 e * rows, rows, cols);
    }
  }
}

TEST_F(DeepseekBuilderTest, SharedExpertsAreAddedToTheRouted) {
  for (const ModelFiles* files : {&OpenFolder(Folder()), &OpenGguf(Gguf())}) {
    SCOPED_TRACE(files->config.file);
    const Graph graph = Build(*files);
    const std::vector<const Node*> routes = NodesOf(graph, OpKind::kRoute);
    ASSERT_EQ(routes.size(), 1u);
    const std::vector<const Node*> sums = NodesOf(graph, OpKind::kExpertSum);
    ASSERT_EQ(sums.size(), 1u);
    const std::vector<int> readers = Uses(graph).Readers(sums[0]->outputs[0]);
    ASSERT_EQ(readers.size(), 1u);
    const Node& add = graph.nodes[static_cast<size_t>(readers[0])];
    ASSERT_EQ(add.kind, OpKind::kAdd);
    const bool gguf = files->weights.format() == WeightFormat::kGguf;
    const auto name = [&](const char* part) {
      return gguf ? fmt::format("blk.1.ffn_{}_shexp.weight", part)
                  : fmt::format("model.layers.1.mlp.shared_experts.{}_proj.weight", part);
    };
    const Node& down = ProducerOf(graph, add.inputs[0]);
    EXPECT_EQ(WeightOf(graph, down).tensors.at(0).name, name("down"));
    const Node& product = ProducerOf(graph, down.inputs[0]);
    ASSERT_EQ(product.kind, OpKind::kMul);
    const Node& silu = ProducerOf(graph, product.inputs[0]);
    ASSERT_EQ(silu.kind, OpKind::kSilu);
    const Node& gate = ProducerOf(graph, silu.inputs[0]);
    const Node& up = ProducerOf(graph, product.inputs[1]);
    ExpectRows(*files, WeightOf(graph, gate).tensors.at(0), name("gate"), 0, kShared * kExpertInner,
               kHidden);
    EXPECT_EQ(WeightOf(graph, up).tensors.at(0).name, name("up"));
  }
}

TEST_F(DeepseekBuilderTest, TheRouterChoosesByScoresAndBias) {
  for (const ModelFiles* files :
       {&OpenFolder(Folder(), Config(8, 3, R"(,"n_group":4,"topk_group":2)")), &OpenGguf(Gguf())}) {
    SCOPED_TRACE(files->config.file);
    const bool gguf = files->weights.format() == WeightFormat::kGguf;
    const Graph graph = Build(*files);
    const std::vector<const Node*> routes = NodesOf(graph, OpKind::kRoute);
    ASSERT_EQ(routes.size(), 1u);
    const Node& route = *routes[0];
    EXPECT_EQ(route.Int("top"), 3);
    EXPECT_EQ(route.Int("groups"), gguf ? 1 : 4);
    EXPECT_EQ(route.Int("top_groups"), gguf ? 1 : 2);
    EXPECT_EQ(route.Text("scoring"), "sigmoid");
    const Node& logits = ProducerOf(graph, route.inputs[0]);
    EXPECT_EQ(WeightOf(graph, logits).tensors.at(0).name,
              gguf ? "blk.1.ffn_gate_inp.weight" : "model.layers.1.mlp.gate.weight");
    std::vector<float> bias(kExperts);
    std::iota(bias.begin(), bias.end(), 0.0f);
    EXPECT_EQ(graph.value(route.inputs[1]).constant.numbers, bias);
  }
}

TEST_F(DeepseekBuilderTest, TheFirstLayerIsDense) {
  const ModelFiles& files = OpenFolder(Folder());
  const Graph graph = Build(files);
  for (const char* part : {"gate", "up"}) {
    const std::string name = fmt::format("model.layers.0.mlp.{}_proj.weight", part);
    ExpectRows(files, ConstantOf(graph, name).tensors.at(0), name, 0, kInner, kHidden);
  }
  EXPECT_FALSE(graph.FindValue("model.layers.1.mlp.gate_proj.weight").has_value());
}

TEST_F(DeepseekBuilderTest, LatentAttentionTakesHeadsApart) {
  const ModelFiles& files = OpenFolder(Folder());
  const Graph graph = Build(files);
  const std::string q = "model.layers.1.self_attn.q_proj.weight";
  const std::string kv_a = "model.layers.1.self_attn.kv_a_proj_with_mqa.weight";
  const std::string kv_b = "model.layers.1.self_attn.kv_b_proj.weight";
  const ConstantData& value = ConstantOf(graph, kv_b + ".value");
  EXPECT_EQ(value.groups, static_cast<int64_t>(kHeads));
  ASSERT_EQ(value.tensors.size(), kHeads);
  const ConstantData& key = ConstantOf(graph, kv_b + ".key.transposed");
  EXPECT_EQ(key.groups, static_cast<int64_t>(kHeads));
  const std::vector<float> keys = NumbersOf(key);
  ASSERT_EQ(keys.size(), kHeads * kRank * kNope);
  for (uint64_t h = 0; h < kHeads; ++h) {
    const uint64_t first_q = h * (kNope + kRope), first_kv = h * (kNope + kValue);
    ExpectRows(files, ConstantOf(graph, q + ".nope").tensors.at(h), q, first_q, kNope, kHidden);
    ExpectRows(files, ConstantOf(graph, q + ".rope").tensors.at(h), q, first_q + kNope, kRope,
               kHidden);
    ExpectRows(files, value.tensors[h], kv_b, first_kv + kNope, kValue, kRank);
    for (uint64_t lane = 0; lane < kNope; ++lane) {
      for (uint64_t r = 0; r < kRank; ++r) {
        ASSERT_EQ(keys[(h * kRank + r) * kNope + lane],
                  static_cast<float>((first_kv + lane) * kRank + r));
      }
    }
  }
  ExpectRows(files, ConstantOf(graph, kv_a + ".latent").tensors.at(0), kv_a, 0, kRank, kHidden);
  ExpectRows(files, ConstantOf(graph, kv_a + ".rope").tensors.at(0), kv_a, kRank, kRope, kHidden);
  // Keys go into queries, values into what attention mixed.
  const std::vector<const Node*> heads = NodesOf(graph, OpKind::kHeadMatmul);
  ASSERT_EQ(heads.size(), 4u);
  EXPECT_EQ(&WeightOf(graph, *heads[2]), &key);
  EXPECT_EQ(&WeightOf(graph, *heads[3]), &value);
  EXPECT_EQ(ProducerOf(graph, heads[3]->inputs[0]).kind, OpKind::kKvMix);
}

TEST_F(DeepseekBuilderTest, GgufHasTheHalvesOfKvBApartOrWhole) {
  const ModelFiles& apart = OpenGguf(Gguf());
  const Graph graph = Build(apart);
  for (const auto& [name, rows, cols] : {std::tuple("blk.1.attn_k_b.weight", kRank, kNope),
                                         std::tuple("blk.1.attn_v_b.weight", kValue, kRank)}) {
    const ConstantData& data = ConstantOf(graph, name);
    EXPECT_EQ(data.groups, static_cast<int64_t>(kHeads));
    ASSERT_EQ(data.tensors.size(), kHeads);
    for (uint64_t h = 0; h < kHeads; ++h) {
      ExpectRows(apart, data.tensors[h], name, h * rows, rows, cols);
    }
  }
  const Graph whole = Build(OpenGguf(Gguf(true)));
  const Graph folder = Build(OpenFolder(Folder()));
  for (const char* part : {".value", ".key.transposed"}) {
    const ConstantData& got = ConstantOf(whole, std::string("blk.1.attn_kv_b.weight") + part);
    const ConstantData& want =
        ConstantOf(folder, std::string("model.layers.1.self_attn.kv_b_proj.weight") + part);
    EXPECT_EQ(got.groups, want.groups);
    EXPECT_EQ(NumbersOf(got), NumbersOf(want)) << part;
  }
}

TEST_F(DeepseekBuilderTest, ASingleExpertIsAMatrix) {
  const ModelFiles& files = OpenFolder(Folder(1), Config(1, 1));
  const Graph graph = Build(files);
  const std::vector<const Node*> matmuls = NodesOf(graph, OpKind::kExpertMatmul);
  ASSERT_EQ(matmuls.size(), 3u);
  EXPECT_EQ(WeightOf(graph, *matmuls[0]).groups, 1);
  ExpectRows(files, WeightOf(graph, *matmuls[0]).tensors.at(0),
             "model.layers.1.mlp.experts.0.gate_proj.weight", 0, kExpertInner, kHidden);
}

TEST_F(DeepseekBuilderTest, ExpertsOf8BitsHaveTheirScales) {
  const ModelFiles& files = OpenFolder(With8Bits(), Config(8, 3, kFp8));
  const Graph graph = Build(files);
  const ConstantData& gate = WeightOf(graph, *NodesOf(graph, OpKind::kExpertMatmul).at(0));
  for (uint64_t e = 0; e < kExperts; ++e) {
    const TensorInfo* scales = files.weights.Find(
        fmt::format("model.layers.1.mlp.experts.{}.gate_proj.weight_scale_inv", e));
    EXPECT_EQ(gate.tensors.at(e).scales.data, scales->data.data());
  }
}

}  // namespace
}  // namespace pelton::test
