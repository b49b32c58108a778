#include "runtime/kv/prefix_hash.h"

#include <openssl/evp.h>

#include <bit>
#include <cstring>
#include <memory>

#include "base/check.h"

namespace pelton {
namespace {

static_assert(std::endian::native == std::endian::little, "token bytes are hashed as they lie");

// One SHA-256 state per thread: fetching the algorithm costs more than hashing a block.
class Sha256 {
 public:
  Sha256() : algorithm_(EVP_MD_fetch(nullptr, "SHA256", nullptr)), context_(EVP_MD_CTX_new()) {
    PELTON_CHECK(algorithm_ && context_, "OpenSSL's default provider has SHA-256");
  }

  void Start() { Expect(EVP_DigestInit_ex(context_.get(), algorithm_.get(), nullptr)); }
  void Add(const void* data, size_t size) { Expect(EVP_DigestUpdate(context_.get(), data, size)); }
  void AddWord(uint64_t word) { Add(&word, sizeof(word)); }
  void AddText(std::string_view text) {
    AddWord(text.size());
    Add(text.data(), text.size());
  }
  BlockKey Finish() {
    BlockKey key;
    Expect(EVP_DigestFinal_ex(context_.get(), key.bytes.data(), nullptr));
    return key;
  }

 private:
  static void Expect(int result) { PELTON_CHECK(result == 1, "SHA-256 over memory cannot fail"); }

  struct FreeAlgorithm {
    void operator()(EVP_MD* algorithm) const { EVP_MD_free(algorithm); }
  };
  struct FreeContext {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD, FreeAlgorithm> algorithm_;
  std::unique_ptr<EVP_MD_CTX, FreeContext> context_;
};

Sha256& ThreadSha256() {
  thread_local Sha256 sha;
  return sha;
}

}  // namespace

uint64_t BlockKey::Word() const {
  uint64_t word;
  std::memcpy(&word, bytes.data(), sizeof(word));
  return word;
}

BlockKey RootBlockKey(const PrefixScope& scope) {
  static constexpr char kDomain[] = "pelton kv 1";  // hashed with its terminating zero
  Sha256& sha = ThreadSha256();
  sha.Start();
  sha.Add(kDomain, sizeof(kDomain));
  sha.AddText(scope.model_fingerprint);
  sha.AddText(scope.salt);
  sha.AddWord(static_cast<uint64_t>(scope.geometry.dtype));
  sha.AddWord(scope.geometry.layers);
  sha.AddWord(scope.geometry.kv_heads);
  sha.AddWord(scope.geometry.head_dim);
  sha.AddWord(scope.geometry.block_tokens);
  if (scope.geometry.IsLatent()) sha.AddWord(scope.geometry.value_dim);
  if (scope.geometry.index_dim != 0) sha.AddWord(scope.geometry.index_dim);
  return sha.Finish();
}

BlockKey ChainBlockKey(const BlockKey& parent, std::span<const int32_t> tokens,
                       std::optional<uint32_t> prompt) {
  Sha256& sha = ThreadSha256();
  sha.Start();
  sha.Add(parent.bytes.data(), parent.bytes.size());
  sha.Add(tokens.data(), tokens.size_bytes());
  if (prompt) sha.Add(&*prompt, sizeof(*prompt));
  return sha.Finish();
}

}  // namespace pelton
