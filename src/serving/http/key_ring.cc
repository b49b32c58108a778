#include "serving/http/key_ring.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "base/mapped_file.h"

namespace pelton {
namespace {

bool SameWord(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if ((a[i] | 0x20) != (b[i] | 0x20)) return false;
  }
  return true;
}

std::string_view KeyOf(const HttpRequest& request) {
  const std::string_view authorization = request.Header("authorization");
  constexpr std::string_view kBearer = "bearer ";
  if (SameWord(authorization.substr(0, kBearer.size()), kBearer)) {
    std::string_view key = authorization.substr(kBearer.size());
    while (!key.empty() && key.front() == ' ') key.remove_prefix(1);
    return key;
  }
  return request.Header("x-api-key");
}

}  // namespace

KeyRing::Digest KeyRing::DigestOf(std::string_view key) {
  Digest digest;
  ::SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data());
  return digest;
}

void KeyRing::Add(std::string_view key) { digests_.push_back(DigestOf(key)); }

Status KeyRing::AddFile(const std::string& path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  size_t added = 0;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    Add(line);
    ++added;
  }
  if (added == 0) return InvalidArgument(path + ": found no key, expected one a line");
  return OkStatus();
}

bool KeyRing::Opens(const HttpRequest& request) const {
  const Digest digest = DigestOf(KeyOf(request));
  int matches = 0;
  for (const Digest& known : digests_) {
    matches |= static_cast<int>(::CRYPTO_memcmp(known.data(), digest.data(), digest.size()) == 0);
  }
  return matches != 0;
}

}  // namespace pelton
