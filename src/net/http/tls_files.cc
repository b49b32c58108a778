#include "net/http/tls_files.h"

#include <fmt/format.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

#include <utility>

namespace pelton {
namespace {

constexpr int64_t kCheckNs = 1'000'000'000;

// HTTP/1.1 is all there is; clients that offer it get it named.
int SelectProtocol(SSL*, const unsigned char** out, unsigned char* out_size,
                   const unsigned char* offered, unsigned offered_size, void*) {
  static constexpr std::string_view kName = "http/1.1";
  for (unsigned at = 0; at < offered_size; at += offered[at] + 1u) {
    if (offered_size - at - 1 < offered[at]) break;
    const std::string_view name(reinterpret_cast<const char*>(offered) + at + 1, offered[at]);
    if (name != kName) continue;
    *out = offered + at + 1;
    *out_size = offered[at];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_NOACK;
}

}  // namespace

Result<std::unique_ptr<TlsFiles>> TlsFiles::Open(std::string certificate, std::string key) {
  std::unique_ptr<TlsFiles> files(new TlsFiles(std::move(certificate), std::move(key)));
  files->stamp_ = files->ReadStamp();
  ASSIGN_OR_RETURN(files->context_, files->Load());
  return files;
}

Result<std::shared_ptr<boost::asio::ssl::context>> TlsFiles::Load() const {
  namespace ssl = boost::asio::ssl;
  boost::system::error_code error;
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX* const handle = context->native_handle();
  ::SSL_CTX_set_min_proto_version(handle, TLS1_2_VERSION);
  ::SSL_CTX_set_options(
      handle, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  ::SSL_CTX_set_mode(handle, SSL_MODE_RELEASE_BUFFERS);
  ::SSL_CTX_set_alpn_select_cb(handle, SelectProtocol, nullptr);
  error = context->use_certificate_chain_file(certificate_, error);
  if (error) {
    return InvalidArgument(fmt::format("{}: not a certificate in PEM form that can be read: {}",
                                       certificate_, error.message()));
  }
  error = context->use_private_key_file(key_, ssl::context::pem, error);
  if (error) {
    return InvalidArgument(
        fmt::format("{}: not the key of {} in PEM form: {}", key_, certificate_, error.message()));
  }
  if (::SSL_CTX_check_private_key(handle) != 1) {
    return InvalidArgument(fmt::format("{}: not the key of {}", key_, certificate_));
  }
  return context;
}

TlsFiles::Stamp TlsFiles::ReadStamp() const {
  Stamp stamp{};
  size_t at = 0;
  for (const std::string& path : {certificate_, key_}) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) info = {};
    stamp[at++] = static_cast<int64_t>(info.st_dev);
    stamp[at++] = static_cast<int64_t>(info.st_ino);
    stamp[at++] = info.st_size;
    stamp[at++] = info.st_mtim.tv_sec;
    stamp[at++] = info.st_mtim.tv_nsec;
  }
  return stamp;
}

std::shared_ptr<boost::asio::ssl::context> TlsFiles::Current(
    int64_t now_ns, const std::function<void(std::string_view)>& log) {
  if (now_ns - checked_ns_ < kCheckNs) return context_;
  checked_ns_ = now_ns;
  // The stamp comes first: a change while the files are read is seen the next time.
  const Stamp stamp = ReadStamp();
  if (stamp == stamp_) return context_;
  stamp_ = stamp;
  auto loaded = Load();
  if (loaded.ok()) {
    context_ = *std::move(loaded);
    log(fmt::format("{}: the new certificate is in use", certificate_));
  } else {
    log(fmt::format("the certificate in use stays: {}", loaded.status().message()));
  }
  return context_;
}

}  // namespace pelton
