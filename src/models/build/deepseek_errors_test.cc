// Checkpoints of DeepSeek whose tensors are not those of their configuration: each is refused by
// the name of a tensor and what was expected of it.
#include <string>
#include <tuple>
#include <vector>

#include "models/build/deepseek_files.h"

namespace pelton::test {
namespace {

TEST_F(DeepseekBuilderTest, EveryTensorMustBeThere) {
  for (const char* name :
       {"model.layers.0.mlp.up_proj.weight", "model.layers.1.mlp.gate.weight",
        "model.layers.1.mlp.gate.e_score_correction_bias",
        "model.layers.1.mlp.experts.5.up_proj.weight",
        "model.layers.1.mlp.experts.7.down_proj.weight",
        "model.layers.1.mlp.shared_experts.gate_proj.weight",
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.1.self_attn.kv_a_proj_with_mqa.weight",
        "model.layers.1.self_attn.kv_a_layernorm.weight",
        "model.layers.1.self_attn.kv_b_proj.weight", "model.layers.0.self_attn.o_proj.weight"}) {
    Tensors tensors = Folder();
    ASSERT_EQ(tensors.erase(name), 1u) << name;
    ExpectRefused(OpenFolder(tensors), fmt::format("{}: found none, expected one", name));
  }
  for (const char* name : {"blk.1.ffn_down_exps.weight", "blk.1.ffn_up_shexp.weight",
                           "blk.1.attn_v_b.weight", "blk.1.ffn_gate_inp.weight"}) {
    Tensors tensors = Gguf();
    ASSERT_EQ(tensors.erase(name), 1u) << name;
    ExpectRefused(OpenGguf(tensors), fmt::format("{}: found none, expected one", name));
  }
}

TEST_F(DeepseekBuilderTest, ShapesMustFit) {
  const std::tuple<const char*, std::vector<uint64_t>, const char*> of_folder[] = {
      {"model.layers.1.mlp.experts.3.down_proj.weight",
       {32, 64},
       "found shape [32, 64], expected [64, 32]"},
      {"model.layers.1.mlp.shared_experts.up_proj.weight",
       {32, 64},
       "found shape [32, 64], expected [64, 64]"},
      {"model.layers.1.mlp.gate.e_score_correction_bias", {7}, "found shape [7], expected [8]"},
      {"model.layers.1.mlp.gate.weight", {7, 64}, "found shape [7, 64], expected [8, 64]"},
      {"model.layers.0.self_attn.kv_b_proj.weight",
       {160, 16},
       "found shape [160, 16], expected [176, 16]"},
      {"model.layers.0.self_attn.q_proj.weight",
       {64, 128},
       "found shape [64, 128], expected [128, 64]"}};
  for (const auto& [name, shape, problem] : of_folder) {
    Tensors tensors = Folder();
    tensors[name].shape = shape;
    ExpectRefused(OpenFolder(tensors), fmt::format("{}: {}", name, problem));
  }
  const std::tuple<const char*, std::vector<uint64_t>, const char*> of_gguf[] = {
      {"blk.1.ffn_up_exps.weight", {7, 32, 64}, "found shape [7, 32, 64], expected [8, 32, 64]"},
      {"blk.1.ffn_gate_exps.weight", {256, 64}, "found shape [256, 64], expected [8, 32, 64]"},
      {"blk.1.attn_k_b.weight", {8, 12, 16}, "found shape [8, 12, 16], expected [8, 16, 12]"},
      {"blk.1.attn_v_b.weight", {4, 10, 16}, "found shape [4, 10, 16], expected [8, 10, 16]"}};
  for (const auto& [name, shape, problem] : of_gguf) {
    Tensors tensors = Gguf();
    tensors[name].shape = shape;
    ExpectRefused(OpenGguf(tensors), fmt::format("{}: {}", name, problem));
  }
}

TEST_F(DeepseekBuilderTest, TypesMustFit) {
  const std::string expert = "model.layers.1.mlp.experts.2.up_proj.weight";
  Tensors tensors = Folder();
  tensors[expert].dtype = "BF16";
  ExpectRefused(OpenFolder(tensors), expert +
                                         ": found type BF16, expected F32, as "
                                         "model.layers.1.mlp.experts.0.up_proj.weight has");
  tensors[expert].dtype = "I32";
  ExpectRefused(OpenFolder(tensors),
                expert +
                    ": found type I32, expected one that can be multiplied (F32, F16, BF16, "
                    "F8_E4M3, Q4_0 to Q8_0, Q2_K to Q6_K, IQ4_NL, MXFP4)");
}

TEST_F(DeepseekBuilderTest, ExpertsOf8BitsNeedScales) {
  Tensors tensors = With8Bits();
  const std::string config = Config(8, 3, kFp8);
  const std::string expert = "model.layers.1.mlp.experts.6.gate_proj.weight";
  ExpectRefused(OpenFolder(tensors),
                "model.layers.1.mlp.experts.0.gate_proj.weight: found type F8_E4M3, expected a "
                "weight_block_size in the configuration");
  Tensors changed = tensors;
  changed[expert + "_scale_inv"].shape = {1, 2};
  ExpectRefused(OpenFolder(changed, config),
                expert +
                    "_scale_inv: found shape [1, 2], expected [2, 1], one for each 16 x 128 "
                    "of " +
                    expert);
  changed = tensors;
  changed.erase(expert + "_scale_inv");
  ExpectRefused(OpenFolder(changed, config),
                expert + "_scale_inv: found none, expected the scales of " + expert);
}

}  // namespace
}  // namespace pelton::test
