#pragma once

#include <openssl/ssl.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace pelton {

// A client for the tests of the server: one connection, bytes as they are. Every wait ends after
// ten seconds, with what there is.
class TestClient {
 public:
  // Connects over TCP; with `tls` without looking at the certificate.
  explicit TestClient(uint16_t port, bool tls = false, int receive_buffer = 0);
  ~TestClient();
  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;

  bool connected() const { return fd_ >= 0; }
  bool Send(std::string_view bytes);
  // Waits for one answer with its body (chunks are joined), and takes it off. Empty if the
  // connection ends before it is complete; `head_only` if it answers HEAD.
  struct Answer {
    int status = 0;
    std::string head;
    std::string body;
    bool complete = false;
  };
  Answer Receive(bool head_only = false);
  // Waits until `text` is there, and takes everything up to its end off.
  std::string ReceiveUntil(std::string_view text);
  // Waits for the end of the connection and returns what came before.
  std::string ReceiveAll();
  // Whether the last end of the connection was a reset.
  bool reset() const { return reset_; }
  void EndSending();  // a half-close
  void Close();
  // Whether TLS was ended by the server's word and not by the connection's end.
  bool ended_in_order() const;
  // Address of the server, for another connection.
  bool PeerAddress(sockaddr_storage& address, socklen_t& size) const;
  // SHA-256 of the server's certificate, as bytes.
  std::string CertificateDigest() const;
  std::string Protocol() const;  // "TLSv1.3"

 private:
  bool ReadMore();

  int fd_ = -1;
  bool ended_ = false;
  bool reset_ = false;
  std::string input_;
  SSL_CTX* context_ = nullptr;
  SSL* ssl_ = nullptr;
};

}  // namespace pelton
