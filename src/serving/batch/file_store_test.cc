#include "serving/batch/file_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace pelton {
namespace {

class FileStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "pelton_file_store_" + std::to_string(::getpid());
    std::filesystem::remove_all(path_);
  }
  void TearDown() override { std::filesystem::remove_all(path_); }

  // Opens the store, as a new process does.
  FileStore& Open(FileStoreLimits limits = {}) {
    store_.reset();
    folder_.reset();
    Result<std::unique_ptr<RecordFolder>> folder = RecordFolder::Open(path_);
    EXPECT_TRUE(folder.ok()) << folder.status().message();
    folder_ = std::move(folder).value();
    Result<std::unique_ptr<FileStore>> store = FileStore::Open(*folder_, limits, metrics_);
    EXPECT_TRUE(store.ok()) << store.status().message();
    store_ = std::move(store).value();
    return *store_;
  }
  static StoredFile File(const std::string& tenant) {
    return {.id = "", .tenant = tenant, .filename = "a.jsonl", .purpose = "batch"};
  }
  int ModeOf(const std::string& name) {
    struct stat info {};
    EXPECT_EQ(::stat((path_ + name).c_str(), &info), 0);
    return info.st_mode & 0777;
  }

  std::string path_;
  MetricRegistry metrics_;
  std::unique_ptr<RecordFolder> folder_;
  std::unique_ptr<FileStore> store_;
};

TEST_F(FileStoreTest, FilesSurviveAndAreOfOneTenant) {
  const StoredFile made = *Open().Add(File("alice"), "hello");
  EXPECT_EQ(made.bytes, 5u);
  for (const bool again : {false, true}) {
    FileStore& store = again ? Open() : *store_;
    EXPECT_EQ(*store.Content("alice", made.id), "hello");
    EXPECT_EQ(store.Find("alice", made.id)->filename, "a.jsonl");
    EXPECT_FALSE(store.Find("bob", made.id));
    EXPECT_FALSE(store.Content("bob", made.id).ok());
    EXPECT_EQ(store.Remove("bob", made.id).code(), StatusCode::kNotFound);
    EXPECT_EQ(store.List("alice").size(), 1u);
    EXPECT_TRUE(store.List("bob").empty());
    EXPECT_EQ(store.bytes(), 5u);
  }
  EXPECT_EQ(ModeOf(""), 0700);
  EXPECT_EQ(ModeOf("/" + made.id), 0600);
  EXPECT_EQ(ModeOf("/" + made.id + ".json"), 0600);
  EXPECT_TRUE(store_->Remove("alice", made.id).ok());
  EXPECT_FALSE(std::filesystem::exists(path_ + "/" + made.id));
  EXPECT_FALSE(Open().Find("alice", made.id));
  EXPECT_EQ(*store_->Content("alice", store_->Add(File("alice"), "")->id), "");
}

TEST_F(FileStoreTest, HasLimits) {
  FileStore& store = Open({.max_bytes = 10, .max_files = 2});
  const StoredFile one = *store.Add(File("t"), "123456");
  EXPECT_EQ(store.Add(File("t"), "12345").status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(store.bytes(), 6u);
  EXPECT_EQ(store.List("t").size(), 1u);
  EXPECT_TRUE(store.Add(File("t"), "1234").ok());
  EXPECT_EQ(store.Add(File("t"), "").status().code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(store.Remove("t", one.id).ok());
  EXPECT_TRUE(store.Add(File("t"), "123").ok());
}

TEST_F(FileStoreTest, HeldFilesStay) {
  FileStore& store = Open();
  StoredFile file = File("t");
  file.expires_at = 1;  // long ago
  const std::string id = store.Add(std::move(file), "x")->id;
  ASSERT_TRUE(store.Hold("t", id));
  EXPECT_FALSE(store.Hold("u", id));
  EXPECT_EQ(store.List("t").size(), 1u);
  EXPECT_EQ(store.Remove("t", id).code(), StatusCode::kInvalidArgument);
  store.Release(id);
  EXPECT_TRUE(store.List("t").empty());
  EXPECT_EQ(store.bytes(), 0u);
}

TEST_F(FileStoreTest, WhatGrowsIsSeenWhenItIsWhole) {
  std::string kept, dropped;
  {
    FileStore& store = Open();
    kept = *store.Grow(File("t"));
    dropped = *store.Grow(File("t"));
    ASSERT_TRUE(store.Append(kept, "one\n").ok());
    ASSERT_TRUE(store.Append(kept, "tw").ok());  // the process ends within a line
    EXPECT_FALSE(store.Find("t", kept));
  }
  FileStore& store = Open();
  store.DropUnfinished({kept});
  EXPECT_FALSE(std::filesystem::exists(path_ + "/" + dropped));
  EXPECT_FALSE(store.Find("t", kept));
  ASSERT_TRUE(store.GoOn(kept).ok());
  EXPECT_FALSE(store.GoOn(dropped).ok());
  ASSERT_TRUE(store.Append(kept, "three\n").ok());
  ASSERT_TRUE(store.Finish(kept, std::nullopt).ok());
  EXPECT_EQ(*store.Content("t", kept), "one\nthree\n");
  EXPECT_EQ(store.bytes(), 10u);
  EXPECT_EQ(*Open().Content("t", kept), "one\nthree\n");
}

TEST_F(FileStoreTest, AFolderIsUsedOnce) {
  Open();
  EXPECT_EQ(RecordFolder::Open(path_).status().code(), StatusCode::kUnavailable);
  store_.reset();
  folder_.reset();
  std::filesystem::permissions(path_, std::filesystem::perms(0755));
  EXPECT_EQ(RecordFolder::Open(path_).status().code(), StatusCode::kInvalidArgument);
  std::filesystem::permissions(path_, std::filesystem::perms(0700));
  // What was left half done goes; what is damaged is named.
  std::ofstream(path_ + "/file-x") << "no record";
  std::ofstream(path_ + "/file-y.json") << R"({"tenant":"t","filename":"","purpose":"batch",
      "created_at":1,"expires_at":null,"growing":false})";
  std::ofstream(path_ + "/file-z.draft") << "{";
  Open();
  EXPECT_TRUE(folder_->Files("file-").empty());
  EXPECT_TRUE(folder_->Load("file-")->empty());
  EXPECT_FALSE(std::filesystem::exists(path_ + "/file-z.draft"));
  std::ofstream(path_ + "/file-w.json") << "{";
  store_.reset();
  const auto damaged = FileStore::Open(*folder_, {}, metrics_);
  EXPECT_EQ(damaged.status().code(), StatusCode::kDataLoss);
  EXPECT_NE(damaged.status().message().find("file-w.json"), std::string::npos);
}

}  // namespace
}  // namespace pelton
