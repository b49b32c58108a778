#include "serving/tenant/tenant_directory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>

namespace pelton {
namespace {

class TenantDirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/pelton_tenant_directory";
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
    path_ = folder_ + "/tenants.json";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  static TenantSpec Spec(const std::string& name, const std::string& key) {
    return {.name = name, .digests = {DigestOf(key)}, .salt = "salt of " + name};
  }
  std::string NameOf(const TenantDirectory& directory, std::string_view key, int64_t now = 1000) {
    const auto tenant = directory.Find(key, now);
    return tenant == nullptr ? "nobody" : tenant->name();
  }

  MetricRegistry metrics_;
  std::string folder_, path_;
  std::vector<std::string> reports_;
  std::function<void(std::string_view)> report_ = [this](std::string_view line) {
    reports_.emplace_back(line);
  };
};

TEST_F(TenantDirectoryTest, KnowsPlainKeys) {
  TenantDirectory directory(metrics_);
  EXPECT_TRUE(directory.empty());
  directory.AddKey("sk-one");
  const std::string file = folder_ + "/keys";
  std::ofstream(file) << "# comment\n\nsk-two\r\nsk-three";
  ASSERT_TRUE(directory.AddKeyFile(file).ok());
  EXPECT_FALSE(directory.empty());
  EXPECT_EQ(NameOf(directory, "sk-one"), "key-1");
  EXPECT_EQ(NameOf(directory, "sk-two"), "key-2");
  EXPECT_EQ(NameOf(directory, "sk-three"), "key-3");
  for (const char* key : {"", "sk-on", "sk-onee", "# comment"}) {
    EXPECT_EQ(NameOf(directory, key), "nobody") << key;
  }
  std::set<std::string> salts = {directory.anonymous()->salt()};
  for (const char* key : {"sk-one", "sk-two", "sk-three"}) {
    EXPECT_TRUE(salts.insert(directory.Find(key, 0)->salt()).second);
  }
  std::ofstream(file) << "# nothing\n";
  EXPECT_EQ(directory.AddKeyFile(file).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(directory.AddKeyFile(folder_ + "/none").code(), StatusCode::kNotFound);
}

TEST_F(TenantDirectoryTest, FollowsItsFileAndKeepsWhatItHas) {
  ASSERT_TRUE(WriteTenantFile(path_, {Spec("alice", "a"), Spec("bob", "b")}).ok());
  TenantDirectory directory(metrics_);
  ASSERT_TRUE(directory.Follow(path_, report_).ok());
  EXPECT_EQ(NameOf(directory, "a"), "alice");
  const std::shared_ptr<Tenant> bob = directory.Find("b", 0);
  ASSERT_FALSE(bob->Enter(TenantTime::Now()));

  std::ofstream(path_) << "{";  // keeps its mode
  directory.Reload();
  EXPECT_EQ(NameOf(directory, "a"), "alice");
  EXPECT_NE(reports_.back().find("stay as they were"), std::string::npos);

  TenantSpec changed = Spec("bob", "b");
  changed.limits.max_concurrent = 1;
  ASSERT_TRUE(WriteTenantFile(path_, {changed}).ok());
  directory.Reload();
  EXPECT_EQ(NameOf(directory, "a"), "nobody");
  EXPECT_EQ(directory.Find("b", 0), bob);  // with the request that runs
  EXPECT_TRUE(bob->Enter(TenantTime::Now()));
  bob->Leave();

  ASSERT_TRUE(WriteTenantFile(path_, {}).ok());
  directory.Reload();
  EXPECT_FALSE(directory.empty());  // nobody has a key, which lets nobody in
  EXPECT_EQ(NameOf(directory, "b"), "nobody");
}

TEST_F(TenantDirectoryTest, KeysExpireAndChange) {
  TenantSpec spec = Spec("alice", "new");
  spec.digests.push_back(DigestOf("old"));
  spec.previous_until = 2000;
  spec.expires = 3000;
  ASSERT_TRUE(WriteTenantFile(path_, {spec}).ok());
  TenantDirectory directory(metrics_);
  ASSERT_TRUE(directory.Follow(path_, report_).ok());
  EXPECT_EQ(NameOf(directory, "old", 1999), "alice");
  EXPECT_EQ(NameOf(directory, "old", 2000), "nobody");
  EXPECT_EQ(NameOf(directory, "new", 2999), "alice");
  EXPECT_EQ(NameOf(directory, "new", 3000), "nobody");
}

TEST_F(TenantDirectoryTest, RefusesAFileThatItCannotUse) {
  TenantDirectory directory(metrics_);
  EXPECT_EQ(directory.Follow(path_, report_).code(), StatusCode::kNotFound);
  ASSERT_TRUE(WriteTenantFile(path_, {Spec("key-1", "a")}).ok());
  TenantDirectory other(metrics_);
  other.AddKey("x");
  EXPECT_EQ(other.Follow(path_, report_).code(), StatusCode::kInvalidArgument);
}

TEST_F(TenantDirectoryTest, MetricsAreBounded) {
  std::vector<TenantSpec> specs;
  specs.reserve(1000);
  for (int i = 0; i < 1000; ++i) {
    specs.push_back(Spec("t" + std::to_string(i), "key" + std::to_string(i)));
  }
  ASSERT_TRUE(WriteTenantFile(path_, specs).ok());
  TenantDirectory directory(metrics_);
  ASSERT_TRUE(directory.Follow(path_, report_).ok());
  std::set<std::string> labels;
  for (const MetricRegistry::Entry* entry : metrics_.Entries()) labels.insert(entry->labels);
  EXPECT_LE(labels.size(), 4u * 202);
  EXPECT_TRUE(labels.contains("tenant=\"other\""));
}

}  // namespace
}  // namespace pelton
