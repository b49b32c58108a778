// Graphs of the Llama family from small files in both formats. What they compute is checked against
// an independent reference in tests/golden; here: which tensor goes where, and what is refused.
#include "models/build/llama.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "models/build/build_graph.h"
#include "models/weights/file_images.h"
#include "models/weights/model_files.h"

namespace pelton {
namespace {

namespace fs = std::filesystem;
using Shapes = std::map<std::string, std::vector<uint64_t>>;

// Two layers, 4 heads of 8 lanes, 2 KV heads.
constexpr const char* kSizes =
    R"("hidden_size":32,"intermediate_size":64,"num_hidden_layers":2,"num_attention_heads":4,)"
    R"("num_key_value_heads":2,"head_dim":8,"vocab_size":16,"max_position_embeddings":128)";
constexpr uint64_t kHidden = 32, kInner = 64, kVocab = 16, kQRows = 32, kKvRows = 16;

std::string Config(std::string_view model_type, std::string_view more = "") {
  return fmt::format("{{\"model_type\":\"{}\",{}{}}}", model_type, kSizes, more);
}

// Tensors of one layer of an architecture, by the names of a folder.
using AddLayer = void (*)(const std::string& prefix, Shapes* shapes);

void AddPlainLayer(const std::string& prefix, Shapes* shapes) {
  (*shapes)[prefix + "input_layernorm.weight"] = {kHidden};
  (*shapes)[prefix + "post_attention_layernorm.weight"] = {kHidden};
  (*shapes)[prefix + "self_attn.q_proj.weight"] = {kQRows, kHidden};
  (*shapes)[prefix + "self_attn.k_proj.weight"] = {kKvRows, kHidden};
  (*shapes)[prefix + "self_attn.v_proj.weight"] = {kKvRows, kHidden};
  (*shapes)[prefix + "self_attn.o_proj.weight"] = {kHidden, kQRows};
  (*shapes)[prefix + "mlp.gate_proj.weight"] = {kInner, kHidden};
  (*shapes)[prefix + "mlp.up_proj.weight"] = {kInner, kHidden};
  (*shapes)[prefix + "mlp.down_proj.weight"] = {kHidden, kInner};
}

void AddGemma2Layer(const std::string& prefix, Shapes* shapes) {
  AddPlainLayer(prefix, shapes);
  (*shapes)[prefix + "pre_feedforward_layernorm.weight"] = {kHidden};
  (*shapes)[prefix + "post_feedforward_layernorm.weight"] = {kHidden};
}

void AddGemma3Layer(const std::string& prefix, Shapes* shapes) {
  AddGemma2Layer(prefix, shapes);
  (*shapes)[prefix + "self_attn.q_norm.weight"] = {8};
  (*shapes)[prefix + "self_attn.k_norm.weight"] = {8};
}

void AddPhi3Layer(const std::string& prefix, Shapes* shapes) {
  AddPlainLayer(prefix, shapes);
  for (const char* name : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                           "mlp.gate_proj", "mlp.up_proj"}) {
    shapes->erase(prefix + name + ".weight");
  }
  (*shapes)[prefix + "self_attn.qkv_proj.weight"] = {kQRows + 2 * kKvRows, kHidden};
  (*shapes)[prefix + "mlp.gate_up_proj.weight"] = {2 * kInner, kHidden};
}

Shapes FolderShapes(AddLayer add_layer, bool tied) {
  Shapes shapes = {{"model.embed_tokens.weight", {kVocab, kHidden}},
                   {"model.norm.weight", {kHidden}}};
  if (!tied) shapes["lm_head.weight"] = {kVocab, kHidden};
  for (int layer = 0; layer < 2; ++layer) {
    add_layer(fmt::format("model.layers.{}.", layer), &shapes);
  }
  return shapes;
}

// The same model as GGUF names it.
Shapes GgufShapes(const Shapes& folder) {
  constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"model.embed_tokens", "token_embd"},
      {"model.norm", "output_norm"},
      {"lm_head", "output"},
      {"model.layers.", "blk."},
      {"input_layernorm", "attn_norm"},
      {"post_feedforward_layernorm", "post_ffw_norm"},
      {"pre_feedforward_layernorm", "ffn_norm"},
      {"self_attn.q_proj", "attn_q"},
      {"self_attn.k_proj", "attn_k"},
      {"self_attn.v_proj", "attn_v"},
      {"self_attn.qkv_proj", "attn_qkv"},
      {"self_attn.o_proj", "attn_output"},
      {"self_attn.sinks", "attn_sinks.weight"},
      {"mlp.router", "ffn_gate_inp"},
      {"mlp.gate_up_proj", "ffn_up"},
      {"mlp.gate_proj", "ffn_gate"},
      {"mlp.up_proj", "ffn_up"},
      {"mlp.down_proj", "ffn_down"}};
  const bool gemma = folder.contains("model.layers.0.pre_feedforward_layernorm.weight");
  Shapes shapes;
  for (const auto& [name, shape] : folder) {
    std::string renamed = name;
    const auto replace = [&](std::string_view from, std::string_view to) {
      if (const size_t at = renamed.find(from); at != std::string::npos) {
        renamed.replace(at, from.size(), to);
      }
    };
    for (const auto& [from, to] : kNames) replace(from, to);
    replace("post_attention_layernorm", gemma ? "post_attention_norm" : "ffn_norm");
    shapes[renamed] = shape;
  }
  return shapes;
}

// The bytes of tensors of which element i is i, and where each begins.
std::string DataOf(const Shapes& shapes, size_t alignment, std::map<std::string, size_t>* begins) {
  std::string data;
  for (const auto& [name, shape] : shapes) {
    data.resize((data.size() + alignment - 1) / alignment * alignment);
    (*begins)[name] = data.size();
    std::vector<float> values(
        std::accumulate(shape.begin(), shape.end(), uint64_t{1}, std::multiplies<>()));
    std::iota(values.begin(), values.end(), 0.0f);
    data.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  }
  return data;
}

class LlamaBuilderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "pelton_build_XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { fs::remove_all(root_); }

  const ModelFiles& OpenFolder(const std::string& config, const Shapes& shapes) {
    std::map<std::string, size_t> begins;
    const std::string data = DataOf(shapes, 1, &begins);
    std::string header;
    for (const auto& [name, begin] : begins) {
      const std::vector<uint64_t>& shape = shapes.at(name);
      const size_t bytes =
          4 * std::accumulate(shape.begin(), shape.end(), uint64_t{1}, std::multiplies<>());
      header +=
          fmt::format(R"({}"{}":{{"dtype":"F32","shape":[{}],"data_offsets":[{},{}]}})",
                      header.empty() ? "" : ",", name, fmt::join(shape, ","), begin, begin + bytes);
    }
    const fs::path folder = NewFolder();
    Write(folder / "config.json", config);
    Write(folder / "model.safetensors", test::SafetensorsImageOf("{" + header + "}", data));
    return Open(folder);
  }

  const ModelFiles& OpenGguf(const std::string& architecture, const Shapes& shapes,
                             const std::map<std::string, uint32_t>& more = {}) {
    std::map<std::string, size_t> begins;
    const std::string data = DataOf(shapes, 32, &begins);
    test::GgufWriter writer;
    writer.String("general.architecture", architecture)
        .F32(architecture + ".attention.layer_norm_rms_epsilon", 1e-5f);
    std::map<std::string, uint32_t> sizes = {
        {"block_count", 2},          {"embedding_length", 32},      {"feed_forward_length", 64},
        {"context_length", 128},     {"attention.head_count", 4},   {"attention.head_count_kv", 2},
        {"attention.key_length", 8}, {"attention.value_length", 8}, {"vocab_size", 16}};
    sizes.insert(more.begin(), more.end());
    for (const auto& [name, size] : sizes)
      writer.U32(fmt::format("{}.{}", architecture, name), size);
    for (const auto& [name, begin] : begins) {
      writer.Add(name, {shapes.at(name).rbegin(), shapes.at(name).rend()}, 0, begin);
    }
    writer.data_bytes = data.size();
    std::string image = writer.Build();
    std::copy(data.begin(), data.end(), image.end() - static_cast<ptrdiff_t>(data.size()));
    const fs::path path = NewFolder() / "model.gguf";
    Write(path, image);
    return Open(path);
  }

  Graph Build(const ModelFiles& files, uint64_t context_tokens = 0) {
    Result<Graph> graph = BuildGraph(files.config, files.weights, context_tokens);
    EXPECT_TRUE(graph.ok()) << graph.status().message();
    return graph.ok() ? std::move(graph).value() : Graph();
  }

  void ExpectRefused(const ModelFiles& files, StatusCode code, std::string_view message) {
    const Result<Graph> graph = BuildGraph(files.config, files.weights);
    ASSERT_FALSE(graph.ok());
    EXPECT_EQ(graph.status().code(), code);
    EXPECT_NE(graph.status().message().find(message), std::string::npos)
        << graph.status().message();
    EXPECT_EQ(graph.status().message().rfind(root_.string(), 0), 0u) << graph.status().message();
  }

 private:
  fs::path NewFolder() const {
    fs::path folder = root_ / std::to_string(opened_.size());
    fs::create_directories(folder);
    return folder;
  }
  static void Write(const fs::path& path, std::string_view content) {
    std::ofstream(path, std::ios::binary) << content;
  }
  const ModelFiles& Open(const fs::path& path) {
    Result<ModelFiles> files = OpenModel(path.string());
    PELTON_CHECK(files.ok(), files.status().message().c_str());
    opened_.push_back(std::make_unique<ModelFiles>(std::move(files).value()));
    return *opened_.back();
  }

  fs::path root_;
  std::vector<std::unique_ptr<ModelFiles>> opened_;  // graphs borrow from them
};

std::vector<const Node*> NodesOf(const Graph& graph, OpKind kind) {
  std::vector<const Node*> nodes;
  for (const Node& node : graph.nodes) {
    if (node.kind == kind) nodes.push_back(&node);
  }
  return nodes;
}

const Node* ProducerOf(const Graph& graph, ValueId id) {
  const int producer = Uses(graph).Producer(id);
  return producer < 0 ? nullptr : &graph.nodes[static_cast<size_t>(producer)];
}

// A constant is rows [first, first + rows) of a stored tensor, in place.
void ExpectRows(const ModelFiles& files, const Graph& graph, const std::string& value,
                const std::string& tensor, int64_t first, int64_t rows) {
  SCOPED_TRACE(value);
  const std::optional<ValueId> id = graph.FindValue(value);
  ASSERT_TRUE(id.has_value());
  const StoredTensor& stored = graph.value(*id).constant.tensors.at(0);
  const TensorInfo* whole = files.weights.Find(tensor);
  ASSERT_NE(whole, nullptr);
  EXPECT_EQ(stored.name, tensor);
  EXPECT_EQ(stored.rows, rows);
  EXPECT_EQ(stored.cols, static_cast<int64_t>(kHidden));
  EXPECT_EQ(stored.data.data() - whole->data.data(), first * 4 * stored.cols);
  EXPECT_EQ(stored.data.size(), static_cast<size_t>(rows * 4 * stored.cols));
}

TEST_F(LlamaBuilderTest, FusedTensorsAreReadByRows) {
  const Shapes shapes = FolderShapes(AddPhi3Layer, false);
  const ModelFiles& files = OpenFolder(Config("phi3", R"(,"sliding_window":40)"), shapes);
  const Graph graph = Build(files);
  for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
    const std::string qkv = layer + "self_attn.qkv_proj.weight";
    const std::string gate_up = layer + "mlp.gate_up_proj.weight";
    ExpectRows(files, graph, qkv + ".q", qkv, 0, 32);
    ExpectRows(files, graph, qkv + ".k", qkv, 32, 16);
    ExpectRows(files, graph, qkv + ".v", qkv, 48, 16);
    ExpectRows(files, graph, gate_up + ".gate", gate_up, 0, 64);
    ExpectRows(files, graph, gate_up + ".up", gate_up, 64, 64);
  }
  for (const Node* softmax : NodesOf(graph, OpKind::kMaskedSoftmax)) {
    EXPECT_EQ(softmax->Int("window"), 40);
  }
}

TEST_F(LlamaBuilderTest, FusedTensorsOfGguf) {
  Shapes shapes = GgufShapes(FolderShapes(AddPhi3Layer, true));
  for (const char* layer : {"blk.0.", "blk.1."})
    shapes[layer + std::string("attn_qkv.bias")] = {64};
  const ModelFiles& files = OpenGguf("phi3", shapes);
  const Graph graph = Build(files);
  ExpectRows(files, graph, "blk.1.attn_qkv.weight.k", "blk.1.attn_qkv.weight", 32, 16);
  ExpectRows(files, graph, "blk.1.ffn_up.weight.up", "blk.1.ffn_up.weight", 64, 64);
  for (const auto& [part, first, count] :
       {std::tuple("q", 0, 32), std::tuple("k", 32, 16), std::tuple("v", 48, 16)}) {
    const auto id = graph.FindValue(fmt::format("blk.0.attn_qkv.bias.{}", part));
    ASSERT_TRUE(id.has_value()) << part;
    std::vector<float> want(static_cast<size_t>(count));
    std::iota(want.begin(), want.end(), static_cast<float>(first));
    EXPECT_EQ(graph.value(*id).constant.numbers, want) << part;
  }
}

constexpr uint64_t kExperts = 3;

void AddGptOssLayer(const std::string& prefix, Shapes* shapes) {
  AddPlainLayer(prefix, shapes);
  for (const char* name : {"mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}) {
    shapes->erase(prefix + name + ".weight");
  }
  (*shapes)[prefix + "self_attn.q_proj.bias"] = {kQRows};
  (*shapes)[prefix + "self_attn.k_proj.bias"] = {kKvRows};
  (*shapes)[prefix + "self_attn.v_proj.bias"] = {kKvRows};
  (*shapes)[prefix + "self_attn.o_proj.bias"] = {kHidden};
  (*shapes)[prefix + "self_attn.sinks"] = {4};
  (*shapes)[prefix + "mlp.router.weight"] = {kExperts, kHidden};
  (*shapes)[prefix + "mlp.router.bias"] = {kExperts};
  (*shapes)[prefix + "mlp.experts.gate_up_proj"] = {kExperts, kHidden, 2 * kInner};
  (*shapes)[prefix + "mlp.experts.gate_up_proj_bias"] = {kExperts, 2 * kInner};
  (*shapes)[prefix + "mlp.experts.down_proj"] = {kExperts, kInner, kHidden};
  (*shapes)[prefix + "mlp.experts.down_proj_bias"] = {kExperts, kHidden};
}

constexpr const char* kGptOss = R"(,"num_local_experts":3,"num_experts_per_tok":2)";

TEST_F(LlamaBuilderTest, ExpertsStoredByInputsAreTransposed) {
  const ModelFiles& files =
      OpenFolder(Config("gpt_oss", kGptOss), FolderShapes(AddGptOssLayer, false));
  const Graph graph = Build(files);
  const std::vector<const Node*> gates = NodesOf(graph, OpKind::kGatedMul);
  ASSERT_EQ(gates.size(), 2u);
  EXPECT_EQ(gates[0]->Text("activation"), "swiglu_oai");
  EXPECT_EQ(gates[0]->Number("limit"), 7);
  for (const size_t part : {0, 1}) {
    const Node* matmul = ProducerOf(graph, gates[1]->inputs[part]);
    const ConstantData& weight = graph.value(matmul->inputs[1]).constant;
    ASSERT_EQ(weight.tensors.size(), kExperts);
    for (size_t e = 0; e < kExperts; ++e) {
      ASSERT_EQ(weight.tensors[e].rows, static_cast<int64_t>(kInner));
      ASSERT_EQ(weight.tensors[e].cols, static_cast<int64_t>(kHidden));
      for (size_t row : {size_t{0}, size_t{1}, kInner - 1}) {
        for (size_t col : {size_t{0}, size_t{7}, kHidden - 1}) {
          float value;
          std::memcpy(&value, weight.tensors[e].data.data() + 4 * (row * kHidden + col), 4);
          // Element i of a tensor is i.
          EXPECT_EQ(value, static_cast<float>((e * kHidden + col) * 2 * kInner + 2 * row + part));
        }
      }
    }
    const std::vector<float>& bias = graph.value(matmul->inputs[3]).constant.numbers;
    ASSERT_EQ(bias.size(), kExperts * kInner);
    EXPECT_EQ(bias[kInner + 5], static_cast<float>(2 * (kInner + 5) + part));
  }
}

TEST_F(LlamaBuilderTest, GptOssHasOneGraphInBothFormats) {
  const Shapes shapes = FolderShapes(AddGptOssLayer, false);
  Shapes renamed;
  for (const auto& [name, shape] : shapes) {
    const size_t experts = name.find("mlp.experts.");
    if (experts == std::string::npos) {
      renamed[name] = shape;
      continue;
    }
    const std::string layer = name.substr(0, experts);
    const char* ending = name.ends_with("_bias") ? "bias" : "weight";
    const bool down = name.find("down") != std::string::npos;
    std::vector<uint64_t> own = {kExperts, down ? kHidden : kInner};
    if (!name.ends_with("_bias")) own.push_back(down ? kInner : kHidden);
    for (const char* part : {"gate", "up", "down"}) {
      if (down == (std::string_view(part) == "down")) {
        renamed[fmt::format("{}ffn_{}_exps.{}", layer, part, ending)] = own;
      }
    }
  }
  Shapes gguf_shapes;
  for (auto& [name, shape] : GgufShapes(renamed)) {
    std::string own = name;
    if (const size_t at = own.find("ffn_norm"); at != std::string::npos) {
      own.replace(at, 8, "post_attention_norm");
    }
    gguf_shapes[own] = shape;
  }
  const ModelFiles& gguf =
      OpenGguf("gpt-oss", gguf_shapes,
               {{"expert_count", 3}, {"expert_used_count", 2}, {"attention.sliding_window", 128}});
  const ModelFiles& folder = OpenFolder(Config("gpt_oss", kGptOss), shapes);
  const Graph a = Build(folder), b = Build(gguf);
  ASSERT_EQ(a.nodes.size(), b.nodes.size());
  for (size_t n = 0; n < a.nodes.size(); ++n) {
    EXPECT_EQ(SchemaOf(a.nodes[n].kind).name, SchemaOf(b.nodes[n].kind).name) << n;
  }
  for (const Graph* graph : {&a, &b}) {
    const std::vector<const Node*> softmaxes = NodesOf(*graph, OpKind::kMaskedSoftmax);
    ASSERT_EQ(softmaxes.size(), 2u);
    EXPECT_EQ(softmaxes[0]->Int("window"), 128);
    EXPECT_EQ(softmaxes[1]->Int("window"), 0);
    for (const Node* softmax : softmaxes) EXPECT_NE(softmax->inputs[1], kNoValue);
  }
}

TEST_F(LlamaBuilderTest, GemmaNormsBeforeAndAfter) {
  const Shapes shapes = FolderShapes(AddGemma2Layer, true);
  const ModelFiles& folder = OpenFolder(Config("gemma2", R"(,"sliding_window":24)"), shapes);
  const ModelFiles& gguf =
      OpenGguf("gemma2", GgufShapes(shapes), {{"attention.sliding_window", 24}});
  for (const ModelFiles* files : {&folder, &gguf}) {
    SCOPED_TRACE(files->config.file);
    const Graph graph = Build(*files);
    EXPECT_EQ(NodesOf(graph, OpKind::kRmsNorm).size(), 9u);
    // Sums of the residual stream take the norm of what the part made.
    size_t normed_sums = 0;
    for (const Node* add : NodesOf(graph, OpKind::kAdd)) {
      const Node* made = ProducerOf(graph, add->inputs[1]);
      if (made == nullptr) continue;
      EXPECT_EQ(made->kind, OpKind::kRmsNorm);
      EXPECT_EQ(ProducerOf(graph, made->inputs[0])->kind, OpKind::kMatmul);
      ++normed_sums;
    }
    EXPECT_EQ(normed_sums, 4u);
    // GGUF's weights hold the 1 already.
    const bool offset =
        ProducerOf(graph, NodesOf(graph, OpKind::kRmsNorm)[0]->inputs[1]) != nullptr;
    EXPECT_EQ(offset, files == &folder);
    EXPECT_FLOAT_EQ(static_cast<float>(NodesOf(graph, OpKind::kScale)[0]->Number("by")),
                    std::sqrt(32.0f));
    std::vector<double> caps;
    for (const Node* cap : NodesOf(graph, OpKind::kSoftCap)) caps.push_back(cap->Number("cap"));
    EXPECT_EQ(caps, (std::vector<double>{50, 50, 30}));
    std::vector<int64_t> windows;
    for (const Node* softmax : NodesOf(graph, OpKind::kMaskedSoftmax)) {
      windows.push_back(softmax->Int("window"));
    }
    EXPECT_EQ(windows, (std::vector<int64_t>{24, 0}));
    EXPECT_EQ(NodesOf(graph, OpKind::kGeluTanh).size(), 2u);
  }
}

TEST_F(LlamaBuilderTest, WindowedLayersTurnByTheirOwnRope) {
  const ModelFiles& files = OpenFolder(
      Config("gemma3_text",
             R"(,"sliding_window":24,"layer_types":["sliding_attention","full_attention"],)"
             R"("rope_scaling":{"rope_type":"linear","factor":8})"),
      FolderShapes(AddGemma3Layer, true));
  const Graph graph = Build(files);
  const std::vector<const Node*> ropes = NodesOf(graph, OpKind::kRope);
  ASSERT_EQ(ropes.size(), 4u);  // q and k of each layer
  for (size_t i = 0; i < ropes.size(); ++i) {
    const Node* table = ProducerOf(graph, ropes[i]->inputs[1]);
    const Node* frequencies = ProducerOf(graph, table->inputs[1]);
    const bool windowed = i < 2;
    EXPECT_EQ(frequencies->Number("base"), windowed ? 1e4 : 1e6);
    EXPECT_EQ(frequencies->Text("scaling"), windowed ? "none" : "linear");
    EXPECT_EQ(ProducerOf(graph, ropes[i]->inputs[0])->Int("groups"), i % 2 == 0 ? 4 : 2);
  }
  EXPECT_EQ(NodesOf(graph, OpKind::kRopeTable).size(), 2u);
}

TEST_F(LlamaBuilderTest, LongRopeFactorsFollowTheContext) {
  const ModelFiles& files = OpenFolder(
      Config("phi3", R"(,"original_max_position_embeddings":100,"rope_scaling":{"type":"longrope",)"
                     R"("short_factor":[1,1,2,4],"long_factor":[8,8,16,16]})"),
      FolderShapes(AddPhi3Layer, false));
  const auto frequencies = [&](uint64_t context_tokens) {
    const Graph graph = Build(files, context_tokens);
    const Node* table = NodesOf(graph, OpKind::kRopeTable).at(0);
    EXPECT_NEAR(table->Number("magnitude"), std::sqrt(1 + std::log(1.28) / std::log(100.0)), 1e-12);
    return graph.value(table->inputs[1]).constant.numbers;
  };
  const std::vector<float> within = {1, 0.1f, 0.005f, 0.00025f};
  const std::vector<float> beyond = {0.125f, 0.0125f, 0.000625f, 0.0000625f};
  for (const auto& [context, want] :
       {std::pair(uint64_t{1}, within), std::pair(uint64_t{100}, within),
        std::pair(uint64_t{101}, beyond), std::pair(uint64_t{0}, beyond)}) {
    const std::vector<float> got = frequencies(context);
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i) EXPECT_FLOAT_EQ(got[i], want[i]) << context;
  }
}

TEST_F(LlamaBuilderTest, YarnMayBeUntruncated) {
  for (const bool truncate : {true, false}) {
    const ModelFiles& files = OpenFolder(
        Config("llama", fmt::format(R"(,"rope_scaling":{{"rope_type":"yarn","factor":32,)"
                                    R"("truncate":{}}})",
                                    truncate)),
        FolderShapes(AddPlainLayer, false));
    const Graph graph = Build(files);
    EXPECT_EQ(NodesOf(graph, OpKind::kRopeFrequencies).at(0)->Int("truncate"), truncate ? 1 : 0);
  }
}

TEST_F(LlamaBuilderTest, TensorsMustBeThereAndFit) {
  Shapes shapes = FolderShapes(AddPhi3Layer, false);
  shapes["model.layers.1.self_attn.qkv_proj.weight"] = {96, kHidden};
  ExpectRefused(OpenFolder(Config("phi3"), shapes), StatusCode::kDataLoss,
                "model.safetensors: tensor model.layers.1.self_attn.qkv_proj.weight: found shape "
                "[96, 32], expected [64, 32]");
  shapes = FolderShapes(AddPhi3Layer, false);
  shapes.erase("model.layers.0.mlp.gate_up_proj.weight");
  ExpectRefused(OpenFolder(Config("phi3"), shapes), StatusCode::kDataLoss,
                "tensor model.layers.0.mlp.gate_up_proj.weight: found none, expected one");
  shapes = FolderShapes(AddGemma2Layer, true);
  shapes["model.layers.0.post_feedforward_layernorm.weight"] = {16};
  ExpectRefused(OpenFolder(Config("gemma2"), shapes), StatusCode::kDataLoss,
                "tensor model.layers.0.post_feedforward_layernorm.weight: found shape [16], "
                "expected [32]");
  shapes = GgufShapes(FolderShapes(AddGemma2Layer, true));
  shapes.erase("blk.1.post_attention_norm.weight");
  ExpectRefused(OpenGguf("gemma2", shapes), StatusCode::kDataLoss,
                "model.gguf: tensor blk.1.post_attention_norm.weight: found none, expected one");
  shapes = GgufShapes(FolderShapes(AddPhi3Layer, true));
  shapes["blk.0.attn_qkv.bias"] = {32};
  ExpectRefused(OpenGguf("phi3", shapes), StatusCode::kDataLoss,
                "tensor blk.0.attn_qkv.bias: found shape [32], expected [64]");
}

TEST_F(LlamaBuilderTest, WhatIsNotBuiltIsNamed) {
  const Shapes shapes = FolderShapes(AddGemma2Layer, true);
  ExpectRefused(OpenFolder(Config("gemma2", R"(,"hidden_activation":"gelu")"), shapes),
                StatusCode::kUnimplemented,
                "config.json: activation: found exact gelu, expected silu or gelu_pytorch_tanh");
}

}  // namespace
}  // namespace pelton
