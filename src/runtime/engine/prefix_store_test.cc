#include "runtime/kv/prefix_store.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <random>

#include "runtime/engine/engine_fixture.h"

// A prefix cache on disk, seen from an engine whose results are a hash of what the cache holds: a
// wrong block anywhere gives another answer.

namespace pelton {
namespace {

namespace fs = std::filesystem;

std::vector<int32_t> Prompt(int32_t kind) {
  std::vector<int32_t> ids;
  ids.reserve(41);
  for (int32_t i = 0; i < 41; ++i) ids.push_back((i * 7 + kind * 3) % 40);
  return ids;
}

class PrefixStoreTest : public testing::Test {
 protected:
  PrefixStoreTest() {
    folder_ = testing::TempDir() + "/prefix_store." + std::to_string(::getpid());
    fs::remove_all(folder_);
    Reset();
    want_ = Answer(nullptr, 0);
  }
  ~PrefixStoreTest() override { fs::remove_all(folder_); }

  void Reset(uint64_t most_bytes = 1 << 20) {
    lines_.clear();
    metrics_ = std::make_unique<MetricRegistry>();
    store_ = std::make_unique<PrefixStore>(
        PrefixStoreOptions{.folder = folder_,
                           .most_bytes = most_bytes,
                           .report = [this](std::string_view line) { lines_.emplace_back(line); }},
        *metrics_);
  }

  // A fresh engine's answer to a prompt, and in cached_ what it did not have to compute. Afterwards
  // its cache is saved.
  std::vector<int32_t> Answer(PrefixStore* store, int32_t kind, size_t blocks = 64) {
    CoreFixture::Shape shape;
    shape.num_blocks = blocks;
    CoreFixture fixture(shape, {.store = store, .store_fingerprint = {9}});
    Request request;
    request.prompt_ids = Prompt(kind);
    request.params.temperature = 0;
    request.params.max_tokens = 12;
    request.params.ignore_eos = true;
    const RequestResult result = fixture.RunAlone(std::move(request));
    EXPECT_TRUE(result.status.ok()) << result.status.message();
    cached_ = result.finish.cached_tokens;
    fixture.core->SaveCache();
    std::vector<int32_t> ids;
    ids.reserve(result.output.size());
    for (const auto& token : result.output) ids.push_back(token.id);
    return ids;
  }

  std::string File() const {
    for (const auto& entry : fs::directory_iterator(folder_)) {
      if (entry.path().extension() == ".kv") return entry.path().string();
    }
    return "";
  }
  std::string Bytes() const {
    std::ifstream file(File(), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void Write(const std::string& path, const std::string& bytes) const {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  }
  uint64_t Metric(const std::string& name) const {
    for (const auto* entry : metrics_->Entries()) {
      if (entry->name != name) continue;
      return entry->counter ? entry->counter->value()
                            : static_cast<uint64_t>(entry->gauge->value());
    }
    ADD_FAILURE() << name;
    return 0;
  }

  std::string folder_;
  std::unique_ptr<MetricRegistry> metrics_;
  std::unique_ptr<PrefixStore> store_;
  std::vector<std::string> lines_;
  std::vector<int32_t> want_;
  size_t cached_ = 0;
};

TEST_F(PrefixStoreTest, TheNextEngineBeginsWithWhatTheLastOneKnew) {
  EXPECT_EQ(Answer(store_.get(), 0), want_);
  EXPECT_EQ(cached_, 0u);
  EXPECT_EQ(Answer(store_.get(), 0), want_);
  EXPECT_EQ(cached_, 40u) << "all full blocks of 4 before the last token";
  EXPECT_EQ(Metric("pelton_kv_store_damaged_files_total"), 0u);
  EXPECT_GT(Metric("pelton_kv_store_restored_blocks_total"), 10u);
  struct stat info {};
  ASSERT_EQ(::stat(File().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_TRUE(lines_.empty());
}

TEST_F(PrefixStoreTest, CachesOfSeveralRunsGatherUpToTheLimit) {
  for (int32_t kind = 0; kind < 4; ++kind) Answer(store_.get(), kind);
  for (int32_t kind = 0; kind < 4; ++kind) {
    Answer(store_.get(), kind);
    EXPECT_EQ(cached_, 40u);
  }
  const uint64_t whole = fs::file_size(File());
  Reset(whole / 3);
  Answer(store_.get(), 3);
  EXPECT_LE(fs::file_size(File()), whole / 3 + kBlockFileHeaderBytes);
  EXPECT_EQ(Answer(store_.get(), 3).size(), 12u);
  EXPECT_EQ(cached_, 40u) << "what was used last is kept";
  EXPECT_EQ(Answer(store_.get(), 0), want_);
}

TEST_F(PrefixStoreTest, ASmallerPoolTakesWhatFits) {
  for (int32_t kind = 0; kind < 4; ++kind) Answer(store_.get(), kind);
  const std::vector<int32_t> small = Answer(store_.get(), 0, 14);
  EXPECT_EQ(small, want_);
}

// Row F8: 500 files, each damaged in its way.
TEST_F(PrefixStoreTest, ADamagedFileIsAMissAndPutAside) {
  Answer(store_.get(), 0);
  const std::string path = File(), good = Bytes();
  const CoreFixture::Shape shape;
  const size_t record = 40 + shape.block_tokens * 4 + 2 * shape.block_tokens * 4;
  ASSERT_EQ((good.size() - kBlockFileHeaderBytes) % record, 0u);
  const size_t blocks = (good.size() - kBlockFileHeaderBytes) / record;
  std::mt19937 random(7);
  const auto below = [&](size_t limit) {
    return std::uniform_int_distribution<size_t>(0, limit - 1)(random);
  };
  for (int i = 0; i < 500; ++i) {
    std::string bytes = good;
    switch (i % 5) {
      case 0:
        bytes[below(bytes.size())] ^= static_cast<char>(1 << below(8));
        break;
      case 1:
        bytes.resize(below(bytes.size()));
        break;
      case 2: {
        const size_t a = below(blocks), b = (a + 1 + below(blocks - 1)) % blocks;
        const auto at = [&](size_t block) {
          return bytes.begin() + static_cast<long>(kBlockFileHeaderBytes + block * record);
        };
        std::swap_ranges(at(a), at(a) + static_cast<long>(record), at(b));
        break;
      }
      case 3:
        bytes[8] = static_cast<char>(2 + below(200));
        break;
      default:
        bytes[88 + below(16)] ^= static_cast<char>(1 + below(255));
        break;
    }
    Write(path, bytes);
    EXPECT_EQ(Answer(store_.get(), 0), want_) << "mutation " << i;
    ASSERT_EQ(Metric("pelton_kv_store_damaged_files_total"), static_cast<uint64_t>(i) + 1);
    ASSERT_TRUE(fs::exists(path + ".damaged"));
    ASSERT_EQ(Metric("pelton_kv_store_works"), 1u);
  }
  EXPECT_EQ(Answer(store_.get(), 0), want_);
  EXPECT_EQ(cached_, 40u) << "the file that was written afterwards is sound";
}

// Row F8: 20 kills while the file is written. What is there is the old one or the new one.
TEST_F(PrefixStoreTest, KillsDuringAWriteLeaveASoundFile) {
  Answer(store_.get(), 0);
  std::mt19937 random(3);
  for (int i = 0; i < 20; ++i) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      for (int32_t kind = 0;; ++kind) Answer(store_.get(), kind % 4);
    }
    ::usleep(static_cast<useconds_t>(random() % 20'000));
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(Answer(store_.get(), 0), want_);
    EXPECT_EQ(Metric("pelton_kv_store_damaged_files_total"), 0u);
  }
  EXPECT_EQ(cached_, 40u);
  EXPECT_FALSE(fs::exists(File() + ".tmp"));
}

// Row F7: a disk that is full is no request's trouble; one line says so, and it works again by
// itself when there is room.
TEST_F(PrefixStoreTest, AFullDiskSwitchesItOffUntilThereIsRoom) {
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old = ::signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = before;
  small.rlim_cur = 200;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(Answer(store_.get(), 0), want_);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, old);
  EXPECT_EQ(lines_.size(), 1u);
  EXPECT_NE(lines_[0].find(".kv.tmp"), std::string::npos) << lines_[0];
  EXPECT_EQ(Metric("pelton_kv_store_works"), 0u);
  EXPECT_EQ(Metric("pelton_kv_store_failures_total"), 50u);
  EXPECT_EQ(File(), "") << "nothing half is left";
  Answer(store_.get(), 0);
  EXPECT_EQ(Metric("pelton_kv_store_works"), 1u);
  EXPECT_EQ(lines_.size(), 2u);
  Answer(store_.get(), 0);
  EXPECT_EQ(cached_, 40u);
}

TEST_F(PrefixStoreTest, AFolderThatCannotBeIsNoTrouble) {
  folder_ = "/proc/no/such/folder";
  Reset();
  EXPECT_EQ(lines_.size(), 1u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Answer(store_.get(), 0), want_);
  EXPECT_EQ(lines_.size(), 1u);
  EXPECT_EQ(Metric("pelton_kv_store_works"), 0u);
}

TEST_F(PrefixStoreTest, LinksAndOtherFilesAreNotRead) {
  Answer(store_.get(), 0);
  const std::string path = File();
  fs::rename(path, folder_ + "/elsewhere");
  fs::create_symlink(folder_ + "/elsewhere", path);
  EXPECT_EQ(Answer(store_.get(), 0), want_);
  EXPECT_EQ(cached_, 0u);
  fs::remove_all(path);
  fs::create_directory(path);
  EXPECT_EQ(Answer(store_.get(), 0), want_);
  EXPECT_EQ(cached_, 0u);
}

TEST_F(PrefixStoreTest, WhoHurriesWritesNothing) {
  store_->Hurry();
  Answer(store_.get(), 0);
  EXPECT_EQ(File(), "");
  EXPECT_TRUE(lines_.empty());
}

TEST_F(PrefixStoreTest, OldFilesGoAndOthersStay) {
  Answer(store_.get(), 0);
  const std::string path = File();
  const auto long_ago = fs::file_time_type::clock::now() - std::chrono::hours(40 * 24);
  Write(folder_ + "/mine.kv", "x");
  fs::last_write_time(folder_ + "/mine.kv", long_ago);
  Reset();
  EXPECT_TRUE(fs::exists(path));
  fs::last_write_time(path, long_ago);
  Reset();
  EXPECT_FALSE(fs::exists(path));
  EXPECT_TRUE(fs::exists(folder_ + "/mine.kv"));
}

TEST_F(PrefixStoreTest, AnotherModelFindsNothing) {
  Answer(store_.get(), 0);
  CoreFixture fixture({}, {.store = store_.get(), .store_fingerprint = {10}});
  EXPECT_EQ(Metric("pelton_kv_store_restored_blocks_total"), 0u);
}

}  // namespace
}  // namespace pelton
