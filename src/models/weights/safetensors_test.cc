#include "models/weights/safetensors.h"

#include <gtest/gtest.h>

#include <ctime>
#include <string>

#include "models/weights/config_checks.h"
#include "models/weights/file_images.h"

namespace pelton {
namespace {

using test::AsBytes;
using test::ByteWriter;
using test::ExpectContains;
using test::SafetensorsImageOf;

std::string SafetensorsRefusal(const std::string& image, StatusCode code = StatusCode::kDataLoss) {
  const auto result = ParseSafetensors(AsBytes(image), "bad.safetensors");
  EXPECT_FALSE(result.ok());
  if (result.ok()) return "accepted";
  EXPECT_EQ(result.status().code(), code) << result.status().message();
  EXPECT_EQ(result.status().message().rfind("bad.safetensors: ", 0), 0u);
  EXPECT_NE(result.status().message().find("found "), std::string::npos);
  return result.status().message();
}

std::string HeaderRefusal(std::string_view header, size_t data_bytes,
                          StatusCode code = StatusCode::kDataLoss) {
  return SafetensorsRefusal(SafetensorsImageOf(header, std::string(data_bytes, '\1')), code);
}

TEST(SafetensorsTest, ReadsEveryDType) {
  const struct {
    const char* name;
    DType dtype;
    size_t bytes;
  } types[] = {
      {"F64", DType::kF64, 8},       {"F32", DType::kF32, 4},        {"F16", DType::kF16, 2},
      {"BF16", DType::kBF16, 2},     {"I64", DType::kI64, 8},        {"I32", DType::kI32, 4},
      {"I16", DType::kI16, 2},       {"I8", DType::kI8, 1},          {"U64", DType::kU64, 8},
      {"U32", DType::kU32, 4},       {"U16", DType::kU16, 2},        {"U8", DType::kU8, 1},
      {"BOOL", DType::kBool, 1},     {"F8_E4M3", DType::kF8E4M3, 1}, {"F8_E5M2", DType::kF8E5M2, 1},
      {"F8_E8M0", DType::kF8E8M0, 1}};
  for (const auto& type : types) {
    const std::string image = SafetensorsImageOf(std::string("{\"t\":{\"dtype\":\"") + type.name +
                                                     "\",\"shape\":[2,3],\"data_offsets\":[0," +
                                                     std::to_string(6 * type.bytes) + "]}}",
                                                 std::string(6 * type.bytes, '\2'));
    const auto result = ParseSafetensors(AsBytes(image), "good.safetensors");
    ASSERT_TRUE(result.ok()) << result.status().message();
    ASSERT_EQ(result->tensors.size(), 1u);
    EXPECT_EQ(result->tensors[0].dtype, type.dtype);
    EXPECT_EQ(result->tensors[0].ShapeText(), "[2, 3]");
    EXPECT_EQ(result->tensors[0].data.size(), 6 * type.bytes);
  }
}

TEST(SafetensorsTest, OrderMetadataScalarsAndEmptyTensors) {
  const std::string image =
      SafetensorsImageOf(R"({"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]},)"
                         R"("__metadata__":{"format":"pt"},)"
                         R"("empty":{"dtype":"F32","shape":[0,8],"data_offsets":[4,4]},)"
                         R"("a\u0041":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}   )",
                         "scalarDATAxx");
  const auto result = ParseSafetensors(AsBytes(image), "good.safetensors");
  ASSERT_TRUE(result.ok()) << result.status().message();
  ASSERT_EQ(result->tensors.size(), 3u);
  EXPECT_EQ(result->tensors[0].name, "aA");
  EXPECT_EQ(result->tensors[0].rank, 0);
  EXPECT_EQ(result->tensors[1].name, "empty");
  EXPECT_EQ(result->tensors[1].NumElements(), 0u);
  EXPECT_EQ(result->tensors[2].name, "b");
  EXPECT_EQ(std::memcmp(result->tensors[2].data.data(), "arDATAxx", 8), 0);
}

TEST(SafetensorsTest, EveryTruncationIsRefused) {
  const std::string image =
      SafetensorsImageOf(R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})", "abc");
  ASSERT_TRUE(ParseSafetensors(AsBytes(image), "good").ok());
  for (size_t size = 0; size < image.size(); ++size) {
    const std::vector<char> part(image.begin(), image.begin() + static_cast<ptrdiff_t>(size));
    const auto result = ParseSafetensors(AsBytes({part.data(), part.size()}), "bad");
    ASSERT_FALSE(result.ok()) << size;
    ASSERT_EQ(result.status().code(), StatusCode::kDataLoss) << size;
  }
}

TEST(SafetensorsTest, HeaderSizeIsCapped) {
  for (const uint64_t size : {uint64_t{100'000'001}, uint64_t{1} << 40, UINT64_MAX, uint64_t{17}}) {
    ByteWriter out;
    out.Put(size).Raw("{}              ");
    ExpectContains(SafetensorsRefusal(out.bytes()),
                   "header size: found " + std::to_string(size) + " bytes");
  }
}

TEST(SafetensorsTest, HeaderIsOneJsonObject) {
  ExpectContains(HeaderRefusal("", 0), "\"{\" as its first byte");
  ExpectContains(HeaderRefusal(" {}", 0), "\"{\" as its first byte");
  ExpectContains(HeaderRefusal("[]", 0), "\"{\" as its first byte");
  HeaderRefusal("{}}", 0);
  HeaderRefusal("{} {}", 0);
  HeaderRefusal("{\"a\":}", 0);
  HeaderRefusal("{\"\xff\":1}", 0);
  HeaderRefusal(std::string_view("{}\0\0", 4), 0);  // padding with NUL instead of spaces
  HeaderRefusal(std::string(R"({"a":)") + std::string(100000, '[') + "}", 0);
}

TEST(SafetensorsTest, NamesOccurOnce) {
  ExpectContains(HeaderRefusal(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                               R"("\u0061":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                               2),
                 "\"a\" more than once");
  ExpectContains(HeaderRefusal(R"({"__metadata__":{},"__metadata__":{}})", 0),
                 "2 metadata entries");
  ExpectContains(
      HeaderRefusal(R"({"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}})", 1),
      "\"dtype\" more than once");
  HeaderRefusal(R"({"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1);
  HeaderRefusal(R"({"a\u0000b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1);
}

TEST(SafetensorsTest, FieldsAreExactlyThree) {
  HeaderRefusal(R"({"a":{"dtype":"U8","shape":[1]}})", 1);
  HeaderRefusal(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"extra":1}})", 1);
  HeaderRefusal(R"({"a":{"dtype":null,"shape":[1],"data_offsets":[0,1]}})", 1);
  HeaderRefusal(R"({"a":{"dtype":5,"shape":[1],"data_offsets":[0,1]}})", 1);
  HeaderRefusal(R"({"a":{"dtype":"U8","shape":1,"data_offsets":[0,1]}})", 1);
  HeaderRefusal(R"({"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}})", 1);
  HeaderRefusal(R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1);
  HeaderRefusal(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}})", 1);
  HeaderRefusal(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}})", 1);
  HeaderRefusal(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,-1]}})", 1);
  HeaderRefusal(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1e0]}})", 1);
  HeaderRefusal(R"({"a":[]})", 0);
  HeaderRefusal(R"({"__metadata__":{"a":1}})", 0);
  HeaderRefusal(R"({"__metadata__":[]})", 0);
}

TEST(SafetensorsTest, UnsupportedTypesAndRanksAreNamed) {
  ExpectContains(HeaderRefusal(R"({"a":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}})", 8,
                               StatusCode::kUnimplemented),
                 "tensor \"a\": dtype: found \"C64\"");
  HeaderRefusal(R"({"a":{"dtype":"Q4_0","shape":[32],"data_offsets":[0,18]}})", 18,
                StatusCode::kUnimplemented);
  HeaderRefusal(R"({"a":{"dtype":"f32","shape":[1],"data_offsets":[0,4]}})", 4,
                StatusCode::kUnimplemented);
  HeaderRefusal(R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1],"data_offsets":[0,1]}})", 1,
                StatusCode::kUnimplemented);
}

TEST(SafetensorsTest, SizesMustMatchShapes) {
  ExpectContains(HeaderRefusal(R"({"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,23]}})", 23),
                 "found 23 bytes, expected 24 for shape [2, 3] of F32");
  // Products that wrap to the size of the range.
  HeaderRefusal(R"({"a":{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]}})", 4);
  HeaderRefusal(R"({"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0);
  HeaderRefusal(R"({"a":{"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,0]}})", 0);
}

TEST(SafetensorsTest, DataIsCoveredWithoutGapOverlapOrRest) {
  ExpectContains(HeaderRefusal(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                               R"("b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}})",
                               5),
                 "tensor \"b\": data_offsets: found data that begins at 3, expected 2");
  ExpectContains(HeaderRefusal(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                               R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
                               3),
                 "begins at 1, expected 2");
  ExpectContains(HeaderRefusal(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                               R"("b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
                               2),
                 "begins at 0, expected 2");
  ExpectContains(HeaderRefusal(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})", 3),
                 "begins at 1, expected 0");
  ExpectContains(HeaderRefusal(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 3),
                 "tensor data: found 3 bytes, expected 2");
  ExpectContains(HeaderRefusal("{}", 1), "tensor data: found 1 bytes, expected 0");
  ExpectContains(HeaderRefusal(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[2,0]}})", 2),
                 "found [2, 0]");
  ExpectContains(HeaderRefusal(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})", 3),
                 "found [2, 4], expected a range in the 3 bytes");
  HeaderRefusal(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[18446744073709551615,0]}})", 1);
}

TEST(SafetensorsRegressionTest, HundredThousandEntriesStayFast) {
  // Headers of 100,000 entries burned minutes elsewhere: nothing here is quadratic.
  std::string header = "{";
  constexpr size_t kTensors = 100000;
  for (size_t i = 0; i < kTensors; ++i) {
    header += (i == 0 ? "\"" : ",\"") + std::string("model.layers.") + std::to_string(i) +
              R"(":{"dtype":"U8","shape":[1],"data_offsets":[)" + std::to_string(i) + "," +
              std::to_string(i + 1) + "]}";
  }
  header += "}";
  const std::string image = SafetensorsImageOf(header, std::string(kTensors, '\0'));
  const std::clock_t begin = std::clock();
  const auto result = ParseSafetensors(AsBytes(image), "good");
  const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result->tensors[99999].name, "model.layers.99999");
  EXPECT_LT(seconds, 5);  // 0.1 s without sanitizers
}

TEST(SafetensorsIndexTest, ReadsTheWeightMap) {
  const auto index = ParseSafetensorsIndex(
      R"({"metadata":{"total_size":5},"weight_map":{"z":"b.safetensors","a":"b.safetensors",)"
      R"("m":"a.safetensors"}})",
      "index.json");
  ASSERT_TRUE(index.ok()) << index.status().message();
  EXPECT_EQ(index->shards, (std::vector<std::string>{"a.safetensors", "b.safetensors"}));
  ASSERT_EQ(index->entries.size(), 3u);
  EXPECT_EQ(index->entries[0].tensor, "a");
  EXPECT_EQ(index->entries[0].shard, 1u);
  EXPECT_EQ(index->entries[1].tensor, "m");
  EXPECT_EQ(index->entries[1].shard, 0u);
  EXPECT_EQ(index->shard_tensors, (std::vector<uint32_t>{1, 2}));
}

TEST(SafetensorsIndexRegressionTest, Cve202225882PathsStayInTheFolder) {
  // Also CVE-2024-27318, CVE-2024-5187, CVE-2025-51480 (ONNX external data), CVE-2024-37032 and
  // CVE-2024-45436 (Ollama): names from a file that lead out of its folder.
  for (const char* path :
       {"../a.safetensors", "x/../../a.safetensors", "/etc/a.safetensors", "x/a.safetensors",
        "..\\\\a.safetensors", "C:\\\\a.safetensors", "", ".", "..", ".safetensors/",
        "a.safetensors\\u0000.txt", "a\\n.safetensors", "a.bin", "a.safetensors.bin"}) {
    const auto index =
        ParseSafetensorsIndex(std::string(R"({"weight_map":{"t":")") + path + "\"}}", "index.json");
    ASSERT_FALSE(index.ok()) << path;
    EXPECT_EQ(index.status().code(), StatusCode::kDataLoss);
    ExpectContains(index.status().message(), "index.json: weight_map: \"t\": found ");
  }
}

TEST(SafetensorsIndexTest, BadMapsAreRefused) {
  for (const char* text :
       {"", "{}", "[]", R"({"weight_map":[]})", R"({"weight_map":{}})", R"({"weight_map":null})",
        R"({"weight_map":{"a":1}})", R"({"weight_map":{"":"a.safetensors"}})",
        R"({"weight_map":{"a":"a.safetensors","a":"b.safetensors"}})",
        R"({"weight_map":{"a":"a.safetensors"},"weight_map":{"b":"a.safetensors"}})"}) {
    const auto index = ParseSafetensorsIndex(text, "index.json");
    ASSERT_FALSE(index.ok()) << text;
    EXPECT_EQ(index.status().code(), StatusCode::kDataLoss) << text;
  }
}

}  // namespace
}  // namespace pelton
