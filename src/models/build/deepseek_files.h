#pragma once

// Checkpoints of a small DeepSeek in both formats, for tests: two layers, the first of them dense.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "models/build/build_graph.h"
#include "models/weights/file_images.h"
#include "models/weights/model_files.h"

namespace pelton::test {

struct Tensor {
  std::vector<uint64_t> shape;
  std::string dtype = "F32";
};
using Tensors = std::map<std::string, Tensor>;

// The sizes of TinyDeepseek2Gguf.
inline constexpr uint64_t kHidden = 64, kInner = 96, kVocab = 100, kHeads = 8;
inline constexpr uint64_t kRank = 16, kNope = 12, kRope = 4, kValue = 10;
inline constexpr uint64_t kExperts = 8, kExpertInner = 32, kShared = 2;

inline constexpr const char* kConfig =
    R"({"model_type":"deepseek_v3","hidden_size":64,"intermediate_size":96,"num_hidden_layers":2,)"
    R"("num_attention_heads":8,"vocab_size":100,"max_position_embeddings":256,"kv_lora_rank":16,)"
    R"("qk_nope_head_dim":12,"qk_rope_head_dim":4,"v_head_dim":10,"first_k_dense_replace":1,)"
    R"("n_shared_experts":2,"moe_intermediate_size":32,"num_experts_per_tok":)";

inline std::string Config(int experts = 8, int top = 3, std::string_view more = "") {
  return fmt::format("{}{},\"n_routed_experts\":{}{}}}", kConfig, top, experts, more);
}

inline constexpr const char* kFp8 =
    R"(,"quantization_config":{"quant_method":"fp8","weight_block_size":[16,128]})";

inline Tensors Folder(uint64_t experts = kExperts) {
  Tensors all = {{"model.embed_tokens.weight", {{kVocab, kHidden}}},
                 {"model.norm.weight", {{kHidden}}},
                 {"lm_head.weight", {{kVocab, kHidden}}}};
  const auto add_gated = [&](const std::string& prefix, uint64_t inner) {
    all[prefix + ".gate_proj.weight"] = all[prefix + ".up_proj.weight"] = {{inner, kHidden}};
    all[prefix + ".down_proj.weight"] = {{kHidden, inner}};
  };
  for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
    all[layer + "input_layernorm.weight"] = {{kHidden}};
    all[layer + "post_attention_layernorm.weight"] = {{kHidden}};
    all[layer + "self_attn.q_proj.weight"] = {{kHeads * (kNope + kRope), kHidden}};
    all[layer + "self_attn.kv_a_proj_with_mqa.weight"] = {{kRank + kRope, kHidden}};
    all[layer + "self_attn.kv_a_layernorm.weight"] = {{kRank}};
    all[layer + "self_attn.kv_b_proj.weight"] = {{kHeads * (kNope + kValue), kRank}};
    all[layer + "self_attn.o_proj.weight"] = {{kHidden, kHeads * kValue}};
  }
  add_gated("model.layers.0.mlp", kInner);
  all["model.layers.1.mlp.gate.weight"] = {{experts, kHidden}};
  all["model.layers.1.mlp.gate.e_score_correction_bias"] = {{experts}};
  for (uint64_t e = 0; e < experts; ++e) {
    add_gated(fmt::format("model.layers.1.mlp.experts.{}", e), kExpertInner);
  }
  add_gated("model.layers.1.mlp.shared_experts", kShared * kExpertInner);
  return all;
}

// The folder with experts of 8 bits, and scales for blocks of [16, 128].
inline Tensors With8Bits() {
  Tensors tensors = Folder();
  for (auto& [name, tensor] : tensors) {
    if (name.find("experts.") == std::string::npos || name.ends_with("_scale_inv")) continue;
    tensor.dtype = "F8_E4M3";
    tensors[name + "_scale_inv"] = {{(tensor.shape[0] + 15) / 16, 1}};
  }
  return tensors;
}

// With the halves of kv_b apart, as converters write it since 2025, or whole.
inline Tensors Gguf(bool whole_kv_b = false) {
  Tensors all = {{"token_embd.weight", {{kVocab, kHidden}}},
                 {"output_norm.weight", {{kHidden}}},
                 {"output.weight", {{kVocab, kHidden}}}};
  const auto add_gated = [&](const std::string& ending, const std::vector<uint64_t>& in,
                             const std::vector<uint64_t>& out) {
    all["blk." + fmt::format(fmt::runtime(ending), "gate")] = {in};
    all["blk." + fmt::format(fmt::runtime(ending), "up")] = {in};
    all["blk." + fmt::format(fmt::runtime(ending), "down")] = {out};
  };
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    all[layer + "attn_norm.weight"] = all[layer + "ffn_norm.weight"] = {{kHidden}};
    all[layer + "attn_q.weight"] = {{kHeads * (kNope + kRope), kHidden}};
    all[layer + "attn_kv_a_mqa.weight"] = {{kRank + kRope, kHidden}};
    all[layer + "attn_kv_a_norm.weight"] = {{kRank}};
    all[layer + "attn_output.weight"] = {{kHidden, kHeads * kValue}};
    if (whole_kv_b) {
      all[layer + "attn_kv_b.weight"] = {{kHeads * (kNope + kValue), kRank}};
    } else {
      all[layer + "attn_k_b.weight"] = {{kHeads, kRank, kNope}};
      all[layer + "attn_v_b.weight"] = {{kHeads, kValue, kRank}};
    }
  }
  add_gated("0.ffn_{}.weight", {kInner, kHidden}, {kHidden, kInner});
  all["blk.1.ffn_gate_inp.weight"] = {{kExperts, kHidden}};
  all["blk.1.exp_probs_b.bias"] = {{kExperts}};
  add_gated("1.ffn_{}_exps.weight", {kExperts, kExpertInner, kHidden},
            {kExperts, kHidden, kExpertInner});
  constexpr uint64_t kBoth = kShared * kExpertInner;
  add_gated("1.ffn_{}_shexp.weight", {kBoth, kHidden}, {kHidden, kBoth});
  return all;
}

inline uint64_t CountOf(const Tensor& tensor) {
  return std::accumulate(tensor.shape.begin(), tensor.shape.end(), uint64_t{1},
                         std::multiplies<>());
}

// Element i of a tensor in F32 is i, of scales 1; in other types the bytes are 1.
inline std::string BytesOf(const std::string& name, const Tensor& tensor) {
  const size_t count = CountOf(tensor);
  if (tensor.dtype != "F32") {
    return std::string(count * BlockBytes(*ParseDType(tensor.dtype)), '\1');
  }
  std::vector<float> values(count, 1.0f);
  if (!name.ends_with("_scale_inv")) std::iota(values.begin(), values.end(), 0.0f);
  return {reinterpret_cast<const char*>(values.data()), count * sizeof(float)};
}

class DeepseekBuilderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "pelton_build_XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  const ModelFiles& OpenFolder(const Tensors& tensors, const std::string& config = Config()) {
    SafetensorsWriter writer;
    for (const auto& [name, tensor] : tensors) {
      writer.Add(name, tensor.dtype, tensor.shape, BytesOf(name, tensor));
    }
    const std::filesystem::path folder = root_ / std::to_string(opened_.size());
    std::filesystem::create_directories(folder);
    Write(folder / "config.json", config);
    Write(folder / "model.safetensors", writer.Build());
    return Open(folder);
  }

  const ModelFiles& OpenGguf(const Tensors& tensors) {
    GgufWriter writer = TinyDeepseek2Gguf({{"block_count", 2}});
    std::string data;
    for (const auto& [name, tensor] : tensors) {
      data.resize((data.size() + 31) / 32 * 32);
      const uint32_t type = tensor.dtype == "F16" ? 1 : 0;
      writer.Add(name, {tensor.shape.rbegin(), tensor.shape.rend()}, type, data.size());
      data += BytesOf(name, tensor);
    }
    writer.data_bytes = data.size();
    std::string image = writer.Build();
    std::copy(data.begin(), data.end(), image.end() - static_cast<ptrdiff_t>(data.size()));
    const std::filesystem::path path = root_ / fmt::format("{}.gguf", opened_.size());
    Write(path, image);
    return Open(path);
  }

  Graph Build(const ModelFiles& files) {
    Result<Graph> graph = BuildGraph(files.config, files.weights);
    EXPECT_TRUE(graph.ok()) << graph.status().message();
    return graph.ok() ? std::move(graph).value() : Graph();
  }

  // `problem` is what follows "FILE: tensor "; such files make the program exit with 3.
  void ExpectRefused(const ModelFiles& files, std::string_view problem) {
    const Result<Graph> graph = BuildGraph(files.config, files.weights);
    ASSERT_FALSE(graph.ok()) << problem;
    EXPECT_EQ(graph.status().code(), StatusCode::kDataLoss);
    EXPECT_EQ(graph.status().message(), files.weights.FileOf(files.weights.tensors()[0]) +
                                            ": tensor " + std::string(problem));
  }

 private:
  static void Write(const std::filesystem::path& path, std::string_view content) {
    std::ofstream(path, std::ios::binary) << content;
  }
  const ModelFiles& Open(const std::filesystem::path& path) {
    Result<ModelFiles> files = OpenModel(path.string());
    PELTON_CHECK(files.ok(), files.status().message().c_str());
    opened_.push_back(std::make_unique<ModelFiles>(std::move(files).value()));
    return *opened_.back();
  }

  std::filesystem::path root_;
  std::vector<std::unique_ptr<ModelFiles>> opened_;  // graphs borrow from them
};

}  // namespace pelton::test
