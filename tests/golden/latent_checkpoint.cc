#include "latent_checkpoint.h"

#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "models/weights/file_images.h"

namespace pelton::golden {
namespace {

constexpr uint64_t kHidden = 64, kIntermediate = 96, kLayers = 2, kHeads = 4, kQRank = 32;
constexpr uint64_t kLatent = 128, kRope = 16, kNope = 32, kValue = 32;
constexpr uint64_t kIndexHeads = 4, kIndexDim = 32;

class RandomTensors {
 public:
  // [rows, cols], of a deviation that keeps the size of what it multiplies.
  void Matrix(const std::string& name, uint64_t rows, uint64_t cols) {
    std::normal_distribution<float> normal(0, 1 / std::sqrt(static_cast<float>(cols)));
    Add(name, {rows, cols}, normal);
  }
  // About `mean`.
  void List(const std::string& name, uint64_t size, float mean) {
    std::normal_distribution<float> normal(mean, 0.1f);
    Add(name, {size}, normal);
  }
  std::string Build() const { return writer_.Build(); }

 private:
  void Add(const std::string& name, const std::vector<uint64_t>& sizes,
           std::normal_distribution<float>& normal) {
    uint64_t count = 1;
    for (const uint64_t size : sizes) count *= size;
    std::vector<float> values(count);
    for (float& value : values) value = normal(random_);
    writer_.Add(name, "F32", sizes,
                {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(values[0])});
  }

  test::SafetensorsWriter writer_;
  std::mt19937 random_{11};
};

}  // namespace

void WriteLatentCheckpoint(const std::filesystem::path& folder, bool indexer) {
  RandomTensors tensors;
  const uint64_t vocab = kLatentCheckpointVocab;
  tensors.Matrix("model.embed_tokens.weight", vocab, kHidden);
  tensors.Matrix("lm_head.weight", vocab, kHidden);
  tensors.List("model.norm.weight", kHidden, 2);
  for (uint64_t layer = 0; layer < kLayers; ++layer) {
    const auto name = [&](std::string_view part) {
      return fmt::format("model.layers.{}.{}.weight", layer, part);
    };
    tensors.List(name("input_layernorm"), kHidden, 1);
    tensors.List(name("post_attention_layernorm"), kHidden, 1);
    tensors.Matrix(name("self_attn.q_a_proj"), kQRank, kHidden);
    tensors.List(name("self_attn.q_a_layernorm"), kQRank, 1);
    tensors.Matrix(name("self_attn.q_b_proj"), kHeads * (kNope + kRope), kQRank);
    tensors.Matrix(name("self_attn.kv_a_proj_with_mqa"), kLatent + kRope, kHidden);
    tensors.List(name("self_attn.kv_a_layernorm"), kLatent, 1);
    tensors.Matrix(name("self_attn.kv_b_proj"), kHeads * (kNope + kValue), kLatent);
    tensors.Matrix(name("self_attn.o_proj"), kHidden, kHeads * kValue);
    tensors.Matrix(name("mlp.gate_proj"), kIntermediate, kHidden);
    tensors.Matrix(name("mlp.up_proj"), kIntermediate, kHidden);
    tensors.Matrix(name("mlp.down_proj"), kHidden, kIntermediate);
    if (!indexer) continue;
    tensors.Matrix(name("self_attn.indexer.wq_b"), kIndexHeads * kIndexDim, kQRank);
    tensors.Matrix(name("self_attn.indexer.wk"), kIndexDim, kHidden);
    tensors.List(name("self_attn.indexer.k_norm"), kIndexDim, 1);
    tensors.List(fmt::format("model.layers.{}.self_attn.indexer.k_norm.bias", layer), kIndexDim, 0);
    tensors.Matrix(name("self_attn.indexer.weights_proj"), kIndexHeads, kHidden);
  }
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "model.safetensors", std::ios::binary) << tensors.Build();
  std::ofstream(folder / "config.json") << fmt::format(
      R"({{"model_type":"{}","vocab_size":{},"hidden_size":{},"intermediate_size":{},)"
      R"("num_hidden_layers":{},"num_attention_heads":{},"num_key_value_heads":{},)"
      R"("q_lora_rank":{},"kv_lora_rank":{},"qk_nope_head_dim":{},"qk_rope_head_dim":{},)"
      R"("v_head_dim":{},"first_k_dense_replace":{},"n_routed_experts":8,)"
      R"("num_experts_per_tok":2,"moe_intermediate_size":32,"n_group":1,"topk_group":1,)"
      R"("max_position_embeddings":512,"rms_norm_eps":1e-6,"rope_theta":10000,)"
      R"("bos_token_id":0,"eos_token_id":1{}}})",
      indexer ? "deepseek_v32" : "deepseek_v3", vocab, kHidden, kIntermediate, kLayers, kHeads,
      kHeads, kQRank, kLatent, kNope, kRope, kValue, kLayers,
      indexer ? fmt::format(R"(,"index_n_heads":{},"index_head_dim":{},"index_topk":16)",
                            kIndexHeads, kIndexDim)
              : "");
}

}  // namespace pelton::golden
