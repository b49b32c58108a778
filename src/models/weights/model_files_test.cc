#include "models/weights/model_files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "models/weights/file_images.h"
#include "models/weights/gguf.h"
#include "models/weights/safetensors.h"

namespace pelton {
namespace {

namespace fs = std::filesystem;
using test::GgufWriter;
using test::SafetensorsImageOf;
using test::TinyLlamaGguf;

constexpr std::string_view kConfig =
    R"({"model_type":"llama","hidden_size":64,"intermediate_size":96,"num_hidden_layers":4,)"
    R"("num_attention_heads":8,"vocab_size":100,"max_position_embeddings":256,"eos_token_id":2})";

std::string OneTensor(std::string_view name) {
  return SafetensorsImageOf(
      "{\"" + std::string(name) + R"(":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})", "abc");
}

// A folder that is removed at the end.
class ModelFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "pelton_models_XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { fs::remove_all(root_); }

  std::string PathOf(std::string_view name) const { return (root_ / name).string(); }
  void Write(std::string_view name, std::string_view content) const {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(PathOf(name), std::ios::binary) << content;
  }
  std::string Folder() const { return root_.string(); }

  void ExpectRefused(const std::string& path, StatusCode code, std::string_view part) const {
    const auto files = OpenModel(path);
    ASSERT_FALSE(files.ok());
    EXPECT_EQ(files.status().code(), code) << files.status().message();
    EXPECT_NE(files.status().message().find(part), std::string::npos) << files.status().message();
  }

  // Part `no` (from 0) of a split model with two tensors in all.
  static GgufWriter Part(uint16_t no, uint16_t count, int32_t tensors) {
    GgufWriter writer = no == 0 ? TinyLlamaGguf() : GgufWriter();
    writer.Scalar("split.no", GgufType::kU16, no)
        .Scalar("split.count", GgufType::kU16, count)
        .Scalar("split.tensors.count", GgufType::kI32, tensors)
        .Add("t" + std::to_string(no), {4}, 0, 0);
    writer.data_bytes = 16;
    return writer;
  }

  fs::path root_;
};

TEST_F(ModelFilesTest, NothingThere) {
  ExpectRefused(PathOf("missing"), StatusCode::kNotFound, "no such file or folder");
  ExpectRefused(Folder(), StatusCode::kNotFound, "found no model in the folder");
  Write("config.json", kConfig);
  ExpectRefused(Folder(), StatusCode::kNotFound, "found only config.json");
  ExpectRefused("/dev/null", StatusCode::kInvalidArgument, "/dev/null");
  Write("model.bin", "something else");
  ExpectRefused(PathOf("model.bin"), StatusCode::kDataLoss, "magic: found \"some\"");
  Write("empty.gguf", "");
  ExpectRefused(PathOf("empty.gguf"), StatusCode::kDataLoss, "magic: found \"\"");
}

TEST_F(ModelFilesTest, PipesAreNotWaitedFor) {
  ASSERT_EQ(::mkfifo(PathOf("config.json").c_str(), 0600), 0);
  ExpectRefused(Folder(), StatusCode::kInvalidArgument, "is not a regular file");
  ExpectRefused(PathOf("config.json"), StatusCode::kInvalidArgument, "expected a model file");
}

TEST_F(ModelFilesTest, GgufFileWithTextSide) {
  GgufWriter writer = TinyLlamaGguf();
  writer.Strings("tokenizer.ggml.tokens", {"<s>", "</s>", "a"})
      .U32("tokenizer.ggml.bos_token_id", 0)
      .U32("tokenizer.ggml.eos_token_id", 1)
      .String("tokenizer.chat_template", "{{ messages }}")
      .Add("token_embd.weight", {32, 16}, 0, 0);
  writer.data_bytes = 32 * 16 * 4;
  Write("tiny.gguf", writer.Build());
  for (const std::string& path : {PathOf("tiny.gguf"), Folder()}) {
    auto opened = OpenModel(path);
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    const ModelFiles files = std::move(opened).value();  // moves keep what is borrowed
    EXPECT_EQ(files.config.layers, 2u);
    EXPECT_EQ(files.chat_template, "{{ messages }}");
    EXPECT_EQ(files.bos_text, "<s>");
    EXPECT_EQ(files.eos_text, "</s>");
    ASSERT_TRUE(files.gguf.has_value());
    EXPECT_EQ(files.gguf->Find("tokenizer.ggml.tokens")->String(2), "a");
    const TensorInfo* embedding = files.weights.Find("token_embd.weight");
    ASSERT_NE(embedding, nullptr);
    EXPECT_EQ(files.weights.FileOf(*embedding), PathOf("tiny.gguf"));
    files.weights.Forget(embedding->data);
    EXPECT_EQ(embedding->data[0], std::byte{1});  // read again after it was forgotten
    EXPECT_EQ(files.weights.TotalBytes(), 2048u);
    EXPECT_EQ(files.weights.Find("output.weight"), nullptr);
  }
  Write("other.gguf", writer.Build());
  ExpectRefused(Folder(), StatusCode::kNotFound, "found 2 GGUF models");
}

TEST_F(ModelFilesTest, SplitGgufOpensFromAnyPart) {
  for (uint16_t no = 0; no < 3; ++no) {
    Write("m-0000" + std::to_string(no + 1) + "-of-00003.gguf", Part(no, 3, 3).Build());
  }
  for (const std::string& path :
       {PathOf("m-00001-of-00003.gguf"), PathOf("m-00003-of-00003.gguf"), Folder()}) {
    const auto files = OpenModel(path);
    ASSERT_TRUE(files.ok()) << files.status().message();
    EXPECT_EQ(files->weights.tensors().size(), 3u);
    EXPECT_EQ(files->weights.FileOf(*files->weights.Find("t2")), PathOf("m-00003-of-00003.gguf"));
    EXPECT_EQ(files->config.name, "tiny");
  }
  Write("alone.gguf", Part(0, 3, 3).Build());
  ExpectRefused(PathOf("alone.gguf"), StatusCode::kDataLoss, "one part of 3");
  fs::remove(PathOf("m-00002-of-00003.gguf"));
  ExpectRefused(PathOf("m-00001-of-00003.gguf"), StatusCode::kNotFound,
                "m-00002-of-00003.gguf: no such file, but");
}

TEST_F(ModelFilesTest, SplitGgufMustAgree) {
  const std::string first = "m-00001-of-00002.gguf";
  const std::string second = "m-00002-of-00002.gguf";
  Write(first, Part(0, 2, 2).Build());
  Write(second, Part(1, 2, 2).Build());
  ASSERT_TRUE(OpenModel(PathOf(first)).ok());
  Write(second, Part(1, 3, 2).Build());
  ExpectRefused(PathOf(first), StatusCode::kDataLoss, "\"split.count\": found 3, expected 2");
  Write(second, Part(0, 2, 2).Build());
  ExpectRefused(PathOf(first), StatusCode::kDataLoss, "\"split.no\": found 0, expected 1");
  Write(second, Part(1, 2, 5).Build());
  ExpectRefused(PathOf(first), StatusCode::kDataLoss, "\"split.tensors.count\": found 5");
  GgufWriter silent;
  silent.Add("t1", {4}, 0, 0).data_bytes = 16;
  Write(second, silent.Build());
  ExpectRefused(PathOf(first), StatusCode::kDataLoss, "found nothing, expected 2");
  GgufWriter repeated = Part(1, 2, 2);
  repeated.tensors[0].name = "t0";
  Write(second, repeated.Build());
  ExpectRefused(PathOf(first), StatusCode::kDataLoss, "\"t0\" more than once");
}

TEST_F(ModelFilesTest, FolderWithTextSide) {
  Write("config.json", kConfig);
  Write("generation_config.json", R"({"eos_token_id":[2,7],"temperature":0.5})");
  Write("model.safetensors", OneTensor("a"));
  Write("tokenizer.json", "{}");
  Write("tokenizer_config.json",
        R"({"chat_template":[{"name":"tool","template":"no"},{"name":"default","template":"yes"}],)"
        R"("bos_token":{"content":"<s>","special":true},"eos_token":"</s>"})");
  auto files = OpenModel(Folder());
  ASSERT_TRUE(files.ok()) << files.status().message();
  EXPECT_EQ(files->config.eos_ids, (std::vector<uint32_t>{2, 7}));
  EXPECT_EQ(files->config.sampling.temperature, 0.5);
  EXPECT_EQ(files->tokenizer_json_path, PathOf("tokenizer.json"));
  EXPECT_EQ(files->tokenizer_model_path, "");
  EXPECT_EQ(files->chat_template, "yes");
  EXPECT_EQ(files->bos_text, "<s>");
  EXPECT_EQ(files->eos_text, "</s>");
  EXPECT_FALSE(files->gguf.has_value());
  EXPECT_EQ(files->weights.format(), WeightFormat::kSafetensors);
  Write("chat_template.jinja", "newer");
  EXPECT_EQ(OpenModel(Folder())->chat_template, "newer");
  Write("tokenizer_config.json", R"({"chat_template":5})");
  ExpectRefused(Folder(), StatusCode::kDataLoss, "chat_template: found 5, expected a string");
}

TEST_F(ModelFilesTest, ShardedSafetensors) {
  Write("config.json", kConfig);
  Write("x.safetensors", OneTensor("a"));
  Write("y.safetensors", OneTensor("b"));
  const std::string index = "model.safetensors.index.json";
  Write(index, R"({"weight_map":{"a":"x.safetensors","b":"y.safetensors"}})");
  auto files = OpenModel(Folder());
  ASSERT_TRUE(files.ok()) << files.status().message();
  EXPECT_EQ(files->weights.tensors().size(), 2u);
  EXPECT_EQ(files->weights.FileOf(*files->weights.Find("b")), PathOf("y.safetensors"));

  Write(index, R"({"weight_map":{"a":"x.safetensors","b":"x.safetensors"}})");
  ExpectRefused(Folder(), StatusCode::kDataLoss, "tensor count: found 1, expected 2");
  Write(index, R"({"weight_map":{"c":"x.safetensors"}})");
  ExpectRefused(Folder(), StatusCode::kDataLoss, "tensor name: found \"a\"");
  Write(index, R"({"weight_map":{"a":"y.safetensors","b":"x.safetensors"}})");
  ExpectRefused(Folder(), StatusCode::kDataLoss, "puts into this file");
  Write(index, R"({"weight_map":{"a":"z.safetensors"}})");
  ExpectRefused(Folder(), StatusCode::kNotFound, "no file \"z.safetensors\"");
  Write("../pelton_outside.safetensors", OneTensor("a"));
  Write(index, R"({"weight_map":{"a":"../pelton_outside.safetensors"}})");
  ExpectRefused(Folder(), StatusCode::kDataLoss, "in the same folder");
  fs::remove(root_.parent_path() / "pelton_outside.safetensors");
}

TEST_F(ModelFilesTest, Cve202627489LinksOutOfTheFolder) {
  Write("model/config.json", kConfig);
  Write("secret/weights.safetensors", OneTensor("a"));
  fs::create_symlink(PathOf("secret/weights.safetensors"), PathOf("model/model.safetensors"));
  ExpectRefused(PathOf("model"), StatusCode::kInvalidArgument, "found a link to");
  fs::remove(PathOf("model/model.safetensors"));
  fs::create_symlink("../secret/weights.safetensors", PathOf("model/model.safetensors"));
  ExpectRefused(PathOf("model"), StatusCode::kInvalidArgument, "expected a file in the folder");
  fs::remove(PathOf("model/model.safetensors"));
  fs::create_symlink(PathOf("secret"), PathOf("model/model.safetensors"));
  ExpectRefused(PathOf("model"), StatusCode::kInvalidArgument, "found a link to");
  fs::remove(PathOf("model/model.safetensors"));
  fs::create_symlink("dangling", PathOf("model/model.safetensors"));
  ExpectRefused(PathOf("model"), StatusCode::kInvalidArgument, "model.safetensors");
  fs::remove(PathOf("model/model.safetensors"));
  // Links inside the folder are the user's business; the folder itself may be a link.
  Write("model/real.safetensors", OneTensor("a"));
  fs::create_symlink("real.safetensors", PathOf("model/model.safetensors"));
  fs::create_directory_symlink(PathOf("model"), PathOf("alias"));
  EXPECT_TRUE(OpenModel(PathOf("model")).ok());
  EXPECT_TRUE(OpenModel(PathOf("alias")).ok());
}

TEST_F(ModelFilesTest, SnapshotsOfTheDownloadCacheLinkToBlobs) {
  Write("cache/blobs/0123", kConfig);
  Write("cache/blobs/4567", OneTensor("a"));
  fs::create_directories(PathOf("cache/snapshots/main"));
  fs::create_symlink("../../blobs/0123", PathOf("cache/snapshots/main/config.json"));
  fs::create_symlink("../../blobs/4567", PathOf("cache/snapshots/main/model.safetensors"));
  const auto files = OpenModel(PathOf("cache/snapshots/main"));
  EXPECT_TRUE(files.ok()) << files.status().message();
  Write("elsewhere", OneTensor("a"));
  fs::remove(PathOf("cache/snapshots/main/model.safetensors"));
  fs::create_symlink("../../../elsewhere", PathOf("cache/snapshots/main/model.safetensors"));
  ExpectRefused(PathOf("cache/snapshots/main"), StatusCode::kInvalidArgument, "found a link to");
}

}  // namespace
}  // namespace pelton
