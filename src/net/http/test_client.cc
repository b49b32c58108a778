#include "net/http/test_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <utility>

namespace pelton {

TestClient::TestClient(uint16_t port, bool tls, int receive_buffer) {
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (receive_buffer > 0) {
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  }
  const timeval ten_seconds = {.tv_sec = 10, .tv_usec = 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &ten_seconds, sizeof ten_seconds);
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &ten_seconds, sizeof ten_seconds);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) Close();
  if (!tls || !connected()) return;
  context_ = ::SSL_CTX_new(TLS_client_method());
  ssl_ = ::SSL_new(context_);
  ::SSL_set_fd(ssl_, fd_);
  if (::SSL_connect(ssl_) != 1) Close();
}

TestClient::~TestClient() {
  Close();
  ::SSL_free(ssl_);
  ::SSL_CTX_free(context_);
}

bool TestClient::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ssl_ != nullptr
                             ? ::SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()))
                             : ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

bool TestClient::ReadMore() {
  if (ended_ || fd_ < 0) return false;
  char bytes[16384];
  const ssize_t count =
      ssl_ != nullptr ? ::SSL_read(ssl_, bytes, sizeof bytes) : ::recv(fd_, bytes, sizeof bytes, 0);
  if (count <= 0) {
    ended_ = true;
    reset_ = count < 0 && errno == ECONNRESET;
    return false;
  }
  input_.append(bytes, static_cast<size_t>(count));
  return true;
}

std::string TestClient::ReceiveUntil(std::string_view text) {
  size_t at = 0;
  while ((at = input_.find(text)) == input_.npos) {
    if (!ReadMore()) return {};
  }
  const size_t size = at + text.size();
  std::string taken = input_.substr(0, size);
  input_.erase(0, size);
  return taken;
}

std::string TestClient::ReceiveAll() {
  while (ReadMore()) {
  }
  return std::exchange(input_, {});
}

TestClient::Answer TestClient::Receive(bool head_only) {
  Answer answer;
  answer.head = ReceiveUntil("\r\n\r\n");
  if (answer.head.size() < 12) return answer;
  std::from_chars(answer.head.data() + 9, answer.head.data() + 12, answer.status);
  if (head_only || answer.status == 204) {
    answer.complete = true;
    return answer;
  }
  static constexpr std::string_view kLength = "\r\nContent-Length: ";
  const size_t length_at = answer.head.find(kLength);
  if (length_at != std::string::npos) {
    size_t length = 0;
    const char* const digits = answer.head.data() + length_at + kLength.size();
    std::from_chars(digits, answer.head.data() + answer.head.size(), length);
    while (input_.size() < length && ReadMore()) {
    }
    answer.complete = input_.size() >= length;
    answer.body = input_.substr(0, length);
    input_.erase(0, length);
    return answer;
  }
  if (answer.head.find("\r\nTransfer-Encoding: chunked\r\n") == std::string::npos) {
    answer.body = ReceiveAll();
    answer.complete = !reset_;
    return answer;
  }
  for (;;) {
    const std::string line = ReceiveUntil("\r\n");
    size_t size = 0;
    if (std::from_chars(line.data(), line.data() + line.size(), size, 16).ec != std::errc()) {
      return answer;
    }
    while (input_.size() < size + 2 && ReadMore()) {
    }
    if (input_.size() < size + 2) return answer;
    answer.body.append(input_, 0, size);
    input_.erase(0, size + 2);
    if (size > 0) continue;
    answer.complete = true;
    return answer;
  }
}

void TestClient::EndSending() { ::shutdown(fd_, SHUT_WR); }

void TestClient::Close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

bool TestClient::ended_in_order() const {
  return (::SSL_get_shutdown(ssl_) & SSL_RECEIVED_SHUTDOWN) != 0;
}

bool TestClient::PeerAddress(sockaddr_storage& address, socklen_t& size) const {
  return ::getpeername(fd_, reinterpret_cast<sockaddr*>(&address), &size) == 0;
}

std::string TestClient::CertificateDigest() const {
  X509* const certificate = ::SSL_get1_peer_certificate(ssl_);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  ::X509_digest(certificate, EVP_sha256(), digest, &size);
  ::X509_free(certificate);
  return {reinterpret_cast<char*>(digest), size};
}

std::string TestClient::Protocol() const { return ::SSL_get_version(ssl_); }

}  // namespace pelton
