#include "serving/model/model_fingerprint.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <link.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>
#include <string>

#include "base/check.h"
#include "base/cpu_features.h"

namespace pelton {
namespace {

constexpr size_t kPieceBytes = 256;

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new()) {
    PELTON_CHECK(context_ && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1,
                 "OpenSSL's default provider has SHA-256");
  }
  void Add(const void* data, size_t size) {
    PELTON_CHECK(EVP_DigestUpdate(context_.get(), data, size) == 1,
                 "SHA-256 over memory cannot fail");
  }
  // With its length before it, so that no two lists of texts are alike.
  void AddText(std::string_view text) {
    const uint64_t size = text.size();
    Add(&size, sizeof(size));
    Add(text.data(), text.size());
  }
  ModelFingerprint Finish() {
    ModelFingerprint out;
    PELTON_CHECK(EVP_DigestFinal_ex(context_.get(), out.data(), nullptr) == 1,
                 "SHA-256 over memory cannot fail");
    return out;
  }

 private:
  struct FreeContext {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, FreeContext> context_;
};

// Size, time of change and inode; another text for a file that cannot be looked at.
std::string StampOf(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return "none";
  return fmt::format("{} {} {} {}", info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec,
                     info.st_ino);
}

// The file that this code was loaded from: the program, or the library in another one.
std::string OwnFile() {
  Dl_info info{};
  void* map = nullptr;
  if (::dladdr1(reinterpret_cast<const void*>(&StampOf), &info, &map, RTLD_DL_LINKMAP) != 0) {
    const std::string name = static_cast<const link_map*>(map)->l_name;
    if (!name.empty()) return name;  // it is empty for the program
  }
  return "/proc/self/exe";
}

std::set<std::string> FilesOf(const WeightSource& weights) {
  std::set<std::string> files;
  for (const TensorInfo& tensor : weights.tensors()) files.insert(weights.FileOf(tensor));
  return files;
}

void AddTensor(const TensorInfo& tensor, Sha256* sha) {
  sha->AddText(fmt::format("{} {} {}", tensor.name, DTypeName(tensor.dtype), tensor.ShapeText()));
  const size_t size = tensor.data.size();
  const size_t piece = std::min(size, kPieceBytes);
  for (const size_t begin : {size_t{0}, (size - piece) / 2, size - piece}) {
    sha->Add(tensor.data.data() + begin, piece);
  }
}

void AddConstants(const Graph& graph, Sha256* sha) {
  for (size_t v = 0; v < graph.num_values(); ++v) {
    const Value& value = graph.value(static_cast<ValueId>(v));
    if (value.kind != ValueKind::kConstant || value.type != ElementType::kPacked) continue;
    sha->AddText(fmt::format("{} {} {} {}", value.name, value.constant.groups,
                             value.constant.interleave_panels,
                             DTypeName(value.constant.PackedDType())));
    for (const StoredTensor& tensor : value.constant.tensors) {
      sha->AddText(fmt::format("{} {} {} {} {}", tensor.name, DTypeName(tensor.dtype), tensor.rows,
                               tensor.cols, tensor.scales.first_row));
    }
  }
}

// The last part of a path without its ending, of plain letters.
std::string StemOf(const std::string& path) {
  std::string stem = path.substr(path.rfind('/') + 1).substr(0, 100);
  if (const size_t dot = stem.rfind('.'); dot != stem.npos) stem.resize(dot);
  for (char& c : stem) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '.' || c == '_';
    if (!plain) c = '-';
  }
  return stem;
}

}  // namespace

ModelFingerprint FingerprintOf(const WeightSource& weights, const PassOptions& passes,
                               bool invariant) {
  Sha256 sha;
  sha.AddText("pelton kv store 1");
  // Another build may round differently.
  sha.AddText(StampOf(OwnFile()));
  sha.AddText(fmt::format("{} {} {} {} {} {} {}", CpuFeatures(), static_cast<int>(passes.numerics),
                          static_cast<int>(passes.weights), passes.fusion_level,
                          fmt::join(passes.switched_off, ","), fmt::join(passes.switched_on, ","),
                          invariant));
  for (const TensorInfo& tensor : weights.tensors()) AddTensor(tensor, &sha);
  const std::set<std::string> files = FilesOf(weights);
  for (const std::string& file : files) sha.AddText(StampOf(file));
  return sha.Finish();
}

PackedIdentity PackedIdentityOf(const ModelFiles& files, const PassOptions& passes,
                                const Graph& graph) {
  const std::set<std::string> paths = FilesOf(files.weights);
  Sha256 name;
  name.AddText("pelton packed weights");
  // A program and a library of one build do not replace each other's.
  name.AddText(OwnFile());
  for (const std::string& path : paths) {
    std::error_code error;
    const std::filesystem::path whole = std::filesystem::weakly_canonical(path, error);
    name.AddText(error ? path : whole.string());
  }
  name.AddText(fmt::format("{} {} {} {}", static_cast<int>(passes.numerics), passes.fusion_level,
                           fmt::join(passes.switched_off, ","),
                           fmt::join(passes.switched_on, ",")));
  AddConstants(graph, &name);
  const ModelFingerprint digest = name.Finish();
  Sha256 key;
  key.Add(digest.data(), digest.size());
  // Another build may fold or lay out weights differently.
  key.AddText(StampOf(OwnFile()));
  for (const std::string& path : paths) key.AddText(StampOf(path));
  key.AddText(StampOf(files.config.file));
  return {.file_name = fmt::format("{}-{:02x}.packed", StemOf(*paths.begin()),
                                   fmt::join(digest.begin(), digest.begin() + 8, "")),
          .key = key.Finish()};
}

}  // namespace pelton
