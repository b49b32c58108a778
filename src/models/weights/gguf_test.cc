#include "models/weights/gguf.h"

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
using test::GgufWriter;
using test::TinyLlamaGguf;

constexpr uint32_t kTypeF32 = 0;
constexpr uint32_t kTypeQ4_0 = 2;

// The message of a file that must be refused with `code`.
std::string GgufRefusal(const std::string& image, StatusCode code = StatusCode::kDataLoss) {
  const auto result = ParseGguf(AsBytes(image), "bad.gguf");
  EXPECT_FALSE(result.ok());
  if (result.ok()) return "accepted";
  EXPECT_EQ(result.status().code(), code) << result.status().message();
  EXPECT_EQ(result.status().message().rfind("bad.gguf: ", 0), 0u) << result.status().message();
  EXPECT_NE(result.status().message().find("found "), std::string::npos);
  EXPECT_NE(result.status().message().find(", expected "), std::string::npos);
  return result.status().message();
}

GgufWriter OneTensor(std::vector<uint64_t> ne, uint32_t type, uint64_t offset, size_t data_bytes) {
  GgufWriter writer;
  writer.String("general.architecture", "llama");
  writer.Add("t", std::move(ne), type, offset);
  writer.data_bytes = data_bytes;
  return writer;
}

TEST(GgufTest, ReadsEveryKindOfMetadata) {
  GgufWriter writer;
  writer.Scalar<uint8_t>("u8", GgufType::kU8, 200)
      .Scalar<int8_t>("i8", GgufType::kI8, -5)
      .Scalar<uint16_t>("u16", GgufType::kU16, 60000)
      .Scalar<int16_t>("i16", GgufType::kI16, -300)
      .U32("u32", 4000000000u)
      .Scalar<int32_t>("i32", GgufType::kI32, -7)
      .F32("f32", 0.5f)
      .Scalar<uint8_t>("bool", GgufType::kBool, 1)
      .String("string", "text")
      .Scalar<uint64_t>("u64", GgufType::kU64, UINT64_MAX)
      .Scalar<int64_t>("i64", GgufType::kI64, INT64_MIN)
      .Scalar<double>("f64", GgufType::kF64, 0.25)
      .Strings("strings", {"a", "", "ccc"})
      .Array<int32_t>("ints", GgufType::kI32, {1, -2, 3})
      .Array<uint8_t>("bools", GgufType::kBool, {0, 1});
  for (const uint32_t version : {2u, 3u}) {
    writer.version = version;
    const std::string image = writer.Build();
    const auto result = ParseGguf(AsBytes(image), "good.gguf");
    ASSERT_TRUE(result.ok()) << result.status().message();
    EXPECT_EQ(result->version, version);
    const GgufMetadata& metadata = result->metadata;
    EXPECT_EQ(metadata.entries().size(), 15u);
    EXPECT_EQ(metadata.entries()[0].key, "u8");
    EXPECT_EQ(metadata.Find("u8")->Unsigned(), 200u);
    EXPECT_EQ(metadata.Find("i8")->Signed(), -5);
    EXPECT_EQ(metadata.Find("i8")->Unsigned(), std::nullopt);
    EXPECT_EQ(metadata.Find("u16")->Unsigned(), 60000u);
    EXPECT_EQ(metadata.Find("i16")->Signed(), -300);
    EXPECT_EQ(metadata.Find("u32")->Signed(), 4000000000);
    EXPECT_EQ(metadata.Find("i32")->Number(), -7.0);
    EXPECT_EQ(metadata.Find("f32")->Number(), 0.5);
    EXPECT_EQ(metadata.Find("f32")->Unsigned(), std::nullopt);
    EXPECT_EQ(metadata.Find("bool")->Bool(), true);
    EXPECT_EQ(metadata.Find("bool")->Unsigned(), std::nullopt);
    EXPECT_EQ(metadata.Find("string")->String(), "text");
    EXPECT_EQ(metadata.Find("string")->Number(), std::nullopt);
    EXPECT_EQ(metadata.Find("u64")->Unsigned(), UINT64_MAX);
    EXPECT_EQ(metadata.Find("u64")->Signed(), std::nullopt);
    EXPECT_EQ(metadata.Find("i64")->Signed(), INT64_MIN);
    EXPECT_EQ(metadata.Find("f64")->Number(), 0.25);
    const GgufValue& strings = *metadata.Find("strings");
    EXPECT_TRUE(strings.is_array());
    ASSERT_EQ(strings.strings().size(), 3u);
    EXPECT_EQ(strings.strings()[2], "ccc");
    EXPECT_EQ(strings.String(3), std::nullopt);
    EXPECT_EQ(metadata.Find("ints")->Signed(1), -2);
    EXPECT_EQ(metadata.Find("ints")->Signed(3), std::nullopt);
    EXPECT_EQ(metadata.Find("bools")->Bool(1), true);
    EXPECT_EQ(metadata.Find("missing"), nullptr);
  }
}

TEST(GgufTest, PlacesTensorsAndTurnsTheirDimensions) {
  GgufWriter writer;
  writer.Add("matrix", {64, 3}, kTypeQ4_0, 0).Add("vector", {5}, kTypeF32, 128);
  writer.Add("scalar", {}, kTypeF32, 192).Add("four", {2, 3, 4, 5}, kTypeF32, 224);
  writer.data_bytes = 224 + 2 * 3 * 4 * 5 * 4;
  const std::string image = writer.Build();
  const auto result = ParseGguf(AsBytes(image), "good.gguf");
  ASSERT_TRUE(result.ok()) << result.status().message();
  ASSERT_EQ(result->tensors.size(), 4u);
  const TensorInfo& matrix = result->tensors[0];
  EXPECT_EQ(matrix.ShapeText(), "[3, 64]");
  EXPECT_EQ(matrix.dtype, DType::kQ4_0);
  EXPECT_EQ(matrix.data.size(), 3u * 2 * 18);
  EXPECT_EQ(matrix.data.data() + 128, result->tensors[1].data.data());
  EXPECT_EQ(result->tensors[2].rank, 0);
  EXPECT_EQ(result->tensors[2].data.size(), 4u);
  EXPECT_EQ(result->tensors[3].ShapeText(), "[5, 4, 3, 2]");
  EXPECT_EQ(result->tensors[3].NumElements(), 120u);
  const auto* end = reinterpret_cast<const std::byte*>(image.data() + image.size());
  EXPECT_EQ(result->tensors[3].data.data() + result->tensors[3].data.size(), end);
}

TEST(GgufTest, EveryTruncationIsRefused) {
  GgufWriter writer = TinyLlamaGguf();
  writer.Strings("tokenizer.ggml.tokens", {"a", "b"}).Add("t", {32, 2}, kTypeF32, 0);
  writer.data_bytes = 256;
  const std::string image = writer.Build();
  ASSERT_TRUE(ParseGguf(AsBytes(image), "good.gguf").ok());
  for (size_t size = 0; size < image.size(); ++size) {
    // A copy of its own, so that a sanitizer sees every byte read past the end.
    const std::vector<char> part(image.begin(), image.begin() + static_cast<ptrdiff_t>(size));
    const auto result = ParseGguf(AsBytes({part.data(), part.size()}), "bad.gguf");
    ASSERT_FALSE(result.ok()) << size;
    ASSERT_EQ(result.status().code(), StatusCode::kDataLoss) << size;
  }
}

TEST(GgufTest, AlignmentMovesTheData) {
  GgufWriter writer;
  writer.alignment = 4096;
  writer.U32("general.alignment", 4096).Add("t", {4}, kTypeF32, 4096);
  writer.data_bytes = 4096 + 16;
  const std::string image = writer.Build();
  const auto result = ParseGguf(AsBytes(image), "good.gguf");
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result->tensors[0].data.data(),
            reinterpret_cast<const std::byte*>(image.data()) + 8192);
}

TEST(GgufTest, MagicAndVersions) {
  GgufWriter writer;
  writer.magic = "GGML";
  ExpectContains(GgufRefusal(writer.Build()), "magic: found \"GGML\", expected \"GGUF\"");
  GgufRefusal("");
  GgufRefusal("GGU");
  writer.magic = "GGUF";
  for (const uint32_t version : {0u, 1u, 4u, 999u}) {
    writer.version = version;
    ExpectContains(GgufRefusal(writer.Build(), StatusCode::kUnimplemented), "2 or 3");
  }
  writer.version = 0x03000000;
  ExpectContains(GgufRefusal(writer.Build(), StatusCode::kUnimplemented), "big-endian");
}

TEST(GgufTest, NamesMustBeUniqueShortAndPrintable) {
  GgufWriter twice;
  twice.U32("same", 1).U32("same", 2);
  ExpectContains(GgufRefusal(twice.Build()), "\"same\" more than once");

  GgufWriter long_key;
  long_key.U32(std::string(257, 'k'), 1);
  ExpectContains(GgufRefusal(long_key.Build()), "a name of 257 bytes");

  GgufWriter no_key;
  no_key.U32("", 1);
  ExpectContains(GgufRefusal(no_key.Build()), "a name of 0 bytes");

  GgufWriter control;
  control.U32("a\x1b[2Jb", 1);
  ExpectContains(GgufRefusal(control.Build()), "\\x1b[2Jb");
}

TEST(GgufTest, UnsupportedTensorTypesAreNamed) {
  ExpectContains(GgufRefusal(OneTensor({256}, 16, 0, 256).Build(), StatusCode::kUnimplemented),
                 "tensor \"t\": found tensor type IQ2_XXS");
  ExpectContains(GgufRefusal(OneTensor({256}, 4, 0, 256).Build(), StatusCode::kUnimplemented),
                 "Q4_2");
  ExpectContains(GgufRefusal(OneTensor({256}, 41, 0, 256).Build()), "tensor type 41");
  ExpectContains(GgufRefusal(OneTensor({256}, 0xffffffff, 0, 256).Build()),
                 "tensor type 4294967295");
}

TEST(GgufTest, RowsAreWholeBlocks) {
  ExpectContains(GgufRefusal(OneTensor({33, 32}, kTypeQ4_0, 0, 4096).Build()),
                 "found rows of 33 values, expected a multiple of 32, the block size of Q4_0");
}

TEST(GgufTest, TensorsMustNotOverlapOrBeMisaligned) {
  GgufWriter writer;
  writer.Add("a", {16}, kTypeF32, 0).Add("b", {16}, kTypeF32, 32);
  writer.data_bytes = 256;
  ExpectContains(GgufRefusal(writer.Build()), "tensor \"b\": found data shared with \"a\"");
  ExpectContains(GgufRefusal(OneTensor({4}, kTypeF32, 8, 256).Build()), "found offset 8");
}

TEST(GgufTest, BooleansAreZeroOrOne) {
  GgufWriter writer;
  writer.Scalar<uint8_t>("flag", GgufType::kBool, 2);
  ExpectContains(GgufRefusal(writer.Build()), "metadata key \"flag\": found a boolean of 2");
}

TEST(GgufTest, ArraysOfArraysAreRefused) {
  GgufWriter writer;
  writer.ArrayHead("nested", GgufType::kArray, 1000000);
  ExpectContains(GgufRefusal(writer.Build(), StatusCode::kUnimplemented), "an array of arrays");
}

TEST(GgufTest, OpensLargeVocabulariesQuickly) {
  // ggml-org/llama.cpp#19856: hardening must not make loading slow. The real time is about 5 ms;
  // the limit leaves room for sanitizers.
  std::vector<std::string> tokens(150000);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = "token" + std::to_string(i);
  GgufWriter writer;
  writer.Strings("tokenizer.ggml.tokens", tokens).Strings("tokenizer.ggml.merges", tokens);
  writer.Array<float>("tokenizer.ggml.scores", GgufType::kF32, std::vector<float>(150000, 1.0f));
  const std::string image = writer.Build();
  const std::clock_t begin = std::clock();
  const auto result = ParseGguf(AsBytes(image), "good.gguf");
  const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->metadata.Find("tokenizer.ggml.tokens")->String(149999), "token149999");
  EXPECT_LT(seconds, 0.5);
}

// --- Named failures of other readers ---

TEST(GgufRegressionTest, Cve202421802DimensionArray) {
  // The number of dimensions was trusted when the sizes were read into an array of four.
  GgufWriter writer = OneTensor({1, 1, 1, 1, 1}, kTypeF32, 0, 64);
  ExpectContains(GgufRefusal(writer.Build()), "found 5 dimensions, expected at most 4");
  ByteWriter rank_of_2_32;
  rank_of_2_32.Raw("GGUF").Put<uint32_t>(3).Put<uint64_t>(1).Put<uint64_t>(0);
  rank_of_2_32.Text("t").Put<uint32_t>(0xffffffff).Raw(std::string(64, '\1'));
  ExpectContains(GgufRefusal(rank_of_2_32.bytes()), "found 4294967295 dimensions");
}

TEST(GgufRegressionTest, Cve202421825ArrayCount) {
  // count * element size wrapped when an array's memory was sized.
  for (const uint64_t count :
       {uint64_t{1} << 61, uint64_t{1} << 62, (uint64_t{1} << 63) + 1, UINT64_MAX, uint64_t{9}}) {
    GgufWriter numbers;
    numbers.ArrayHead("a", GgufType::kU64, count).RawMetadata([](ByteWriter* out) {
      out->Text("b").Put<uint32_t>(0).Put<uint8_t>(1);
    });
    ExpectContains(GgufRefusal(numbers.Build()), "elements, expected at most");
    GgufWriter strings;
    strings.ArrayHead("a", GgufType::kString, count);
    ExpectContains(GgufRefusal(strings.Build()), "elements, expected at most");
  }
}

TEST(GgufRegressionTest, Cve202421836TensorCount) {
  for (const int64_t extra : {int64_t{1}, int64_t{1} << 40, INT64_MAX}) {
    GgufWriter writer;
    writer.extra_tensors = extra;
    ExpectContains(GgufRefusal(writer.Build()), "tensor count: found");
  }
}

TEST(GgufRegressionTest, Cve202423605MetadataCount) {
  for (const int64_t extra : {int64_t{1}, int64_t{1} << 40, int64_t{-2}}) {
    GgufWriter writer;
    writer.U32("k", 1);
    writer.extra_metadata = extra;
    ExpectContains(GgufRefusal(writer.Build()), "metadata");
  }
}

TEST(GgufRegressionTest, Cve202423496StringLength) {
  // length + 1 wrapped to 0 bytes of memory.
  for (const uint64_t length : {UINT64_MAX, uint64_t{1} << 63, uint64_t{1} << 32, uint64_t{1000}}) {
    GgufWriter value;
    value.RawMetadata([&](ByteWriter* out) {
      out->Text("k").Put(static_cast<uint32_t>(GgufType::kString)).Put(length).Raw("abc");
    });
    ExpectContains(GgufRefusal(value.Build()), "a string of " + std::to_string(length));
    GgufWriter key;
    key.RawMetadata([&](ByteWriter* out) { out->Put(length).Raw(std::string(64, 'k')); });
    ExpectContains(GgufRefusal(key.Build()), "a name of " + std::to_string(length));
  }
}

TEST(GgufRegressionTest, Cve202553630TensorSizeWraps) {
  // GHSA-vgg9: the sum of padded tensor sizes wrapped. Sizes here are never summed; each product
  // is checked and compared with the bytes that are there.
  const uint64_t big = uint64_t{1} << 62;
  ExpectContains(GgufRefusal(OneTensor({4, big}, kTypeF32, 0, 64).Build()),
                 "a size below 2^64 bytes");
  ExpectContains(GgufRefusal(OneTensor({32, big}, kTypeQ4_0, 0, 64).Build()),
                 "a size below 2^64 bytes");
  ExpectContains(GgufRefusal(OneTensor({big}, kTypeF32, 0, 64).Build()), "a size below 2^64 bytes");
  ExpectContains(
      GgufRefusal(OneTensor({1u << 16, 1u << 16, 1u << 16, 1u << 16}, kTypeF32, 0, 64).Build()),
      "a size below 2^64 bytes");
  ExpectContains(GgufRefusal(OneTensor({UINT64_MAX}, kTypeF32, 0, 64).Build()),
                 "a size below 2^64 bytes");
}

TEST(GgufRegressionTest, Cve202627940OffsetPlusSizeWraps) {
  // GHSA-3p4r: the bypass of the fix above, one layer down; also CVE-2026-33298 / GHSA-96jg and
  // ggml-org/llama.cpp#15711, #18674.
  const uint64_t last = UINT64_MAX - 31;  // aligned; adding 64 wraps to 32
  ExpectContains(GgufRefusal(OneTensor({16}, kTypeF32, last, 64).Build()),
                 "64 bytes at offset 18446744073709551584, expected a place in the 64 bytes");
  GgufWriter writer;
  writer.Add("a", {uint64_t{1} << 61}, kTypeF32, 0).Add("b", {16}, kTypeF32, 32);
  writer.data_bytes = 64;
  GgufRefusal(writer.Build());
}

TEST(GgufRegressionTest, Issue26318PaddingWraps) {
  // A size just below 2^64 that padding to the alignment would wrap to 0.
  const uint64_t elements = (UINT64_MAX - 15) / 4;
  ExpectContains(GgufRefusal(OneTensor({elements}, kTypeF32, 0, 64).Build()),
                 "a place in the 64 bytes");
}

TEST(GgufRegressionTest, Issue24997HugeAlignment) {
  for (const uint32_t alignment : {0u, 1u, 3u, 4u, 33u, 1u << 21, 1u << 31, UINT32_MAX}) {
    GgufWriter writer;
    writer.U32("general.alignment", alignment).Add("t", {4}, kTypeF32, 0);
    writer.data_bytes = 64;
    ExpectContains(GgufRefusal(writer.Build()), "general.alignment");
  }
  GgufWriter text;
  text.String("general.alignment", "32");
  ExpectContains(GgufRefusal(text.Build()), "found \"32\", expected a power of two");
}

TEST(GgufRegressionTest, Cve20267482BleedingLlama) {
  // Offset + size beyond the end of the file: the quantiser copied heap contents into its output.
  ExpectContains(GgufRefusal(OneTensor({16}, kTypeF32, 32, 64).Build()),
                 "64 bytes at offset 32, expected a place in the 64 bytes of tensor data");
  ExpectContains(GgufRefusal(OneTensor({17}, kTypeF32, 0, 64).Build()), "68 bytes at offset 0");
  ExpectContains(GgufRefusal(OneTensor({16}, kTypeF32, 0, 63).Build()), "in the 63 bytes");
  ExpectContains(GgufRefusal(OneTensor({1}, kTypeF32, 0, 0).Build()), "in the 0 bytes");
}

TEST(GgufRegressionTest, Cve20248063ZeroDimension) {
  // Sizes of zero became divisors later on.
  ExpectContains(GgufRefusal(OneTensor({0, 4}, kTypeF32, 0, 64).Build()), "a dimension of 0");
}

TEST(GgufRegressionTest, Cve202653923DimensionsBeyond32Bits) {
  // Sizes keep their 64 bits: 2^32 + 32 values do not pass as 32.
  ExpectContains(GgufRefusal(OneTensor({(uint64_t{1} << 32) + 32}, kTypeQ4_0, 0, 64).Build()),
                 "at offset 0, expected a place in the 64 bytes");
}

TEST(GgufRegressionTest, Cve202549847VocabularyIsNotConverted) {
  // Token texts stay bytes: nothing is parsed out of "<0x-1>", so nothing can index with it.
  GgufWriter writer;
  writer.Strings("tokenizer.ggml.tokens", {"<0x-1>", "<0xZZ>", std::string(70000, 'x')});
  const std::string image = writer.Build();
  const auto result = ParseGguf(AsBytes(image), "good.gguf");
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->metadata.Find("tokenizer.ggml.tokens")->String(0), "<0x-1>");
}

}  // namespace
}  // namespace pelton
