#include "serving/tuning/tuning_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace pelton {
namespace {

class TuningFile : public testing::Test {
 protected:
  TuningFile() : folder_(testing::TempDir() + "/tuning." + std::to_string(::getpid())) {}
  ~TuningFile() override { std::filesystem::remove_all(folder_); }
  void TearDown() override { EXPECT_TRUE(SetMatmulChoices({}).ok()); }

  std::string Path() const { return folder_ + "/below/tuning.json"; }
  void WriteText(std::string_view text) const {
    std::filesystem::create_directories(folder_ + "/below");
    std::ofstream(Path()) << text;
  }
  static std::string Chosen() {
    return ChooseQuantizedMatmul(DType::kQ8_0, 5, MatmulRows::kGenerated).name;
  }

  const std::string folder_;
};

TEST_F(TuningFile, IsFollowedOnItsMachine) {
  const std::string before = Chosen();
  const Tuning tuning = TuningOfThisMachine({{DType::kQ8_0, MatmulRows::kGenerated, 4, "generic"},
                                             {DType::kQ4_K, MatmulRows::kAny, 9, "generic"}});
  ASSERT_TRUE(WriteTuning(Path(), tuning).ok());
  const Result<Tuning> read = ReadTuning(Path());
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(*read, tuning);
  EXPECT_EQ(Chosen(), before);  // reading is not following
  ASSERT_TRUE(ApplyTuning(Path()).ok());
  EXPECT_EQ(Chosen(), "generic");
  // A second file takes the first one's place, and nothing else stays in the folder.
  ASSERT_TRUE(WriteTuning(Path(), TuningOfThisMachine({})).ok());
  ASSERT_TRUE(ApplyTuning(Path()).ok());
  EXPECT_EQ(Chosen(), before);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_ + "/below"), {}), 1);
}

TEST_F(TuningFile, OfAnotherMachineIsNotFollowed) {
  const std::string before = Chosen();
  Tuning tuning = TuningOfThisMachine({{DType::kQ8_0, MatmulRows::kGenerated, 1, "generic"}});
  tuning.processor = "Another processor";
  ASSERT_TRUE(WriteTuning(Path(), tuning).ok());
  const Status status = ApplyTuning(Path());
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("Another processor"), std::string::npos);
  EXPECT_NE(status.message().find("pelton tune"), std::string::npos);
  tuning = TuningOfThisMachine({{DType::kQ8_0, MatmulRows::kGenerated, 1, "no kernel"}});
  ASSERT_TRUE(WriteTuning(Path(), tuning).ok());
  EXPECT_NE(ApplyTuning(Path()).message().find("no kernel"), std::string::npos);
  EXPECT_EQ(Chosen(), before);
}

TEST_F(TuningFile, RefusalsNameTheFieldAndTheFile) {
  EXPECT_EQ(ReadTuning(Path()).status().code(), StatusCode::kNotFound);
  const auto refused = [&](std::string_view text, std::string_view what) {
    WriteText(text);
    const Status status = ReadTuning(Path()).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find(Path()), std::string::npos) << status.message();
    EXPECT_NE(status.message().find(what), std::string::npos) << status.message();
  };
  const std::string head = R"({"version":1,"processor":"p","features":"f","matmul":)";
  refused("", "");
  refused("[]", "");
  refused(R"({"version":2,"processor":"p","features":"f","matmul":[]})", "version");
  refused(R"({"version":1,"features":"f","matmul":[]})", "processor");
  refused(head + "{}}", "matmul");
  refused(head + R"([],"more":1})", "more");
  refused(head + "[7]}", "matmul[0]");
  const auto choice = [&](std::string_view fields) {
    return head + "[{" + std::string(fields) + "}]}";
  };
  refused(choice(R"("weights":"Q9","rows":"any","from":1,"kernel":"k")"), "weights");
  refused(choice(R"("weights":"Q8_0","rows":"prompt","from":1,"kernel":"k")"), "rows");
  refused(choice(R"("weights":"Q8_0","rows":"any","from":0,"kernel":"k")"), "from");
  refused(choice(R"("weights":"Q8_0","rows":"any","from":-4,"kernel":"k")"), "from");
  refused(choice(R"("weights":"Q8_0","rows":"any","from":1e30,"kernel":"k")"), "from");
  refused(choice(R"("weights":"Q8_0","rows":"any","from":1)"), "kernel");
  refused(choice(R"("weights":"Q8_0","rows":"any","from":1,"kernel":"k","x":0)"), "x");
  refused(std::string(2 << 20, ' '), "1 MiB");
  std::filesystem::remove(Path());
  std::filesystem::create_directories(Path());
  EXPECT_NE(ReadTuning(Path()).status().message().find("regular file"), std::string::npos);
}

}  // namespace
}  // namespace pelton
