#include "graph/execute/packed_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <random>

#include "base/checked_math.h"

namespace pelton {
namespace {

// A matmul by one matrix of several panels, and one by each of three experts.
class PackedStoreTest : public testing::Test {
 protected:
  PackedStoreTest() {
    std::mt19937 random(3);
    for (float& value : dense_) value = static_cast<float>(random() % 1000);
    for (float& value : experts_) value = static_cast<float>(random() % 1000);
    const ValueId x =
        graph_.AddInput("x", ElementType::kF32, {Dim(1, Symbol::kTokens), Dim(kCols)});
    const ValueId w =
        graph_.AddStored({"dense", DType::kF32, kRows, kCols, std::as_bytes(std::span(dense_))});
    ConstantData data{.groups = 3};
    for (int64_t e = 0; e < 3; ++e) {
      data.tensors.push_back({"expert" + std::to_string(e), DType::kF32, kExpertRows, kCols,
                              std::as_bytes(std::span(experts_))
                                  .subspan(e * kExpertRows * kCols * 4, kExpertRows * kCols * 4)});
    }
    const ValueId e = graph_.AddConstant("experts", ElementType::kPacked,
                                         {Dim(3 * kExpertRows), Dim(kCols)}, std::move(data));
    graph_.value(w).type = ElementType::kPacked;
    const ValueId ids = graph_.AddInput("ids", ElementType::kI32, {Dim(1, Symbol::kTokens)});
    const ValueId product = graph_.AddResult("product");
    graph_.value(product).shape = {Dim(1, Symbol::kTokens), Dim(kRows)};
    const ValueId chosen = graph_.AddResult("chosen");
    graph_.nodes.push_back({OpKind::kMatmul, {x, w, kNoValue, kNoValue}, {product}, {}});
    graph_.nodes.push_back({OpKind::kExpertMatmul, {x, e, ids, kNoValue}, {chosen}, {}});
    dense_id_ = w;
    experts_id_ = e;
    path_ = testing::TempDir() + "/" +
            testing::UnitTest::GetInstance()->current_test_info()->name() + ".packed";
    ::unlink(path_.c_str());
    cache_ = {.path = path_, .key = {1, 2, 3}, .report = [this](std::string_view line) {
                reports_.emplace_back(line);
              }};
  }

  // The packed bytes of both constants; how many tensors were packed is in packed_.
  std::string Packed(const PackedCache* cache) {
    packed_ = 0;
    Result<PackedStore> store = PackedStore::Pack(
        graph_, pool_, [&](const StoredTensor&) { packed_.fetch_add(1); }, nullptr, {}, cache);
    EXPECT_TRUE(store.ok()) << store.status().message();
    const auto text = [&](ValueId id, size_t bytes) {
      EXPECT_EQ(reinterpret_cast<uintptr_t>(store->Weights(id).data) % 4096, 0u);
      return std::string(reinterpret_cast<const char*>(store->Weights(id).data), bytes);
    };
    EXPECT_EQ(store->GroupBytes(experts_id_) % 4096, 0u);
    const auto bytes = [&](ValueId id, size_t rows) {
      return *PackedBytes(graph_.value(id).constant.PackedDType(), rows, kCols);
    };
    std::string all = text(dense_id_, bytes(dense_id_, kRows));
    for (size_t e = 0; e < 3; ++e) {
      all.append(reinterpret_cast<const char*>(store->Weights(experts_id_).data) +
                     e * store->GroupBytes(experts_id_),
                 bytes(experts_id_, kExpertRows));
    }
    return all;
  }

  void Damage(long at) const {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(at);
    const int byte = file.get();
    file.seekp(at);
    file.put(static_cast<char>(byte ^ 1));
  }

  static constexpr int64_t kRows = 700, kCols = 1024, kExpertRows = 33;
  std::vector<float> dense_ = std::vector<float>(kRows * kCols);
  std::vector<float> experts_ = std::vector<float>(3 * kExpertRows * kCols);
  Graph graph_;
  ValueId dense_id_, experts_id_;
  ThreadPool pool_{2};
  std::string path_;
  PackedCache cache_;
  std::atomic<size_t> packed_{0};
  std::vector<std::string> reports_;
};

TEST_F(PackedStoreTest, TheFileGivesWhatPackingGave) {
  const std::string plain = Packed(nullptr);
  EXPECT_EQ(packed_, 4u);
  EXPECT_EQ(Packed(&cache_), plain);
  EXPECT_EQ(packed_, 4u);
  EXPECT_EQ(Packed(&cache_), plain);
  EXPECT_EQ(packed_, 0u) << "the second time it is read";
  EXPECT_TRUE(reports_.empty());
}

TEST_F(PackedStoreTest, WhatIsWrongWithTheFileIsPackedAnew) {
  const std::string plain = Packed(&cache_);
  const auto replaced = [&](const char* why) {
    reports_.clear();
    EXPECT_EQ(Packed(&cache_), plain);
    EXPECT_EQ(packed_, 4u);
    ASSERT_EQ(reports_.size(), 1u);
    EXPECT_NE(reports_[0].find(why), std::string::npos) << reports_[0];
    EXPECT_EQ(Packed(&cache_), plain);
    EXPECT_EQ(packed_, 0u) << "it was replaced";
  };
  Damage(20);  // the key
  replaced("checksum");
  cache_.verify = true;
  Damage(4096 + 5000);
  replaced("checksum");
  cache_.verify = false;
  ASSERT_EQ(::truncate(path_.c_str(), 100000), 0);
  replaced("size");
  ASSERT_EQ(::truncate(path_.c_str(), 0), 0);
  replaced("size");
  cache_.key[0] = 9;
  replaced("other weights");
}

TEST_F(PackedStoreTest, ExpertsMayStayInTheFile) {
  const std::string plain = Packed(nullptr);
  MetricRegistry metrics;
  cache_.metrics = &metrics;
  cache_.expert_bytes = 1;
  cache_.verify = true;
  EXPECT_EQ(Packed(&cache_), plain);
  EXPECT_EQ(packed_, 4u);
  EXPECT_EQ(Packed(&cache_), plain);
  EXPECT_EQ(packed_, 0u);
  const size_t all = PackedStore::BytesFor(graph_).value();
  const size_t experts = PackedStore::ExpertBytesFor(graph_).value();
  EXPECT_LT(experts, all);
  const PackedStore store = PackedStore::Pack(
                                graph_, pool_, [](const StoredTensor&) {}, nullptr, {}, &cache_)
                                .value();
  EXPECT_NE(store.experts(), nullptr);
  EXPECT_EQ(store.bytes(), all - experts + 1);
  // The file is the same as where they do not.
  cache_.expert_bytes = 0;
  EXPECT_EQ(Packed(&cache_), plain);
  EXPECT_EQ(packed_, 0u);
  cache_.expert_bytes = 1;
  Damage(4096 + static_cast<long>(all) - 5000);
  EXPECT_EQ(Packed(&cache_), plain);
  EXPECT_EQ(packed_, 4u);
  ASSERT_EQ(reports_.size(), 1u);
  cache_.path = "/proc/none/a.packed";
  const Status status = PackedStore::Pack(
                            graph_, pool_, [](const StoredTensor&) {}, nullptr, {}, &cache_)
                            .status();
  EXPECT_NE(status.message().find("/proc/none"), std::string::npos) << status.message();
}

// Packed by itself as one matrix, each expert has these bytes; in the file too.
TEST_F(PackedStoreTest, ExpertsMayBeInW8) {
  graph_.value(experts_id_).constant.packed_as = DType::kW8;
  std::string want = Packed(nullptr).substr(0, *PackedBytes(DType::kF32, kRows, kCols));
  const size_t bytes = PackedBytes(DType::kW8, kExpertRows, kCols).value();
  EXPECT_EQ(PackedStore::ExpertBytesFor(graph_).value(), 3 * RoundUp(bytes, 4096));
  for (size_t e = 0; e < 3; ++e) {
    const PackSource source{reinterpret_cast<const std::byte*>(&experts_[e * kExpertRows * kCols]),
                            kExpertRows, kCols * sizeof(float)};
    std::string panels(bytes, '\0');
    PackPanels({.dtype = DType::kF32,
                .sources = {&source, 1},
                .cols = kCols,
                .interleave_panels = false,
                .out = reinterpret_cast<std::byte*>(panels.data()),
                .packed_as = DType::kW8},
               0, 4);
    want += panels;
  }
  EXPECT_EQ(Packed(nullptr), want);
  MetricRegistry metrics;
  cache_.metrics = &metrics;
  for (const size_t expert_bytes : {0, 1}) {
    cache_.expert_bytes = expert_bytes;
    EXPECT_EQ(Packed(&cache_), want);
    EXPECT_EQ(packed_, expert_bytes == 0 ? 4u : 0u);
  }
}

TEST_F(PackedStoreTest, AFileThatCannotBeMadeIsNoError) {
  const std::string plain = Packed(nullptr);
  cache_.path = "/proc/none/a.packed";
  EXPECT_EQ(Packed(&cache_), plain);
  ASSERT_EQ(reports_.size(), 1u);
  EXPECT_NE(reports_[0].find("not kept"), std::string::npos) << reports_[0];
  // Somebody else writes it.
  cache_.path = path_;
  const Result<PackedFileWriter> other = PackedFileWriter::Create(path_, {});
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(Packed(&cache_), plain);
  ASSERT_EQ(reports_.size(), 2u);
  EXPECT_NE(reports_[1].find("another process"), std::string::npos) << reports_[1];
}

}  // namespace
}  // namespace pelton
