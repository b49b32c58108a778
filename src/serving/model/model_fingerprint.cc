#include "serving/model/model_fingerprint.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include <algorithm>
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

// Size and time of change; another text for a file that cannot be looked at.
std::string StampOf(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return "none";
  return fmt::format("{} {} {}", info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
}

void AddTensor(const TensorInfo& tensor, Sha256* sha) {
  sha->AddText(fmt::format("{} {} {}", tensor.name, DTypeName(tensor.dtype), tensor.ShapeText()));
  const size_t size = tensor.data.size();
  const size_t piece = std::min(size, kPieceBytes);
  for (const size_t begin : {size_t{0}, (size - piece) / 2, size - piece}) {
    sha->Add(tensor.data.data() + begin, piece);
  }
}

}  // namespace

ModelFingerprint FingerprintOf(const WeightSource& weights, const PassOptions& passes,
                               bool invariant) {
  Sha256 sha;
  sha.AddText("pelton kv store 1");
  // Another build may round differently.
  sha.AddText(StampOf("/proc/self/exe"));
  sha.AddText(fmt::format("{} {} {} {} {}", CpuFeatures(), static_cast<int>(passes.numerics),
                          passes.fusion_level, fmt::join(passes.switched_off, ","), invariant));
  std::set<std::string> files;
  for (const TensorInfo& tensor : weights.tensors()) {
    AddTensor(tensor, &sha);
    files.insert(weights.FileOf(tensor));
  }
  for (const std::string& file : files) sha.AddText(StampOf(file));
  return sha.Finish();
}

}  // namespace pelton
