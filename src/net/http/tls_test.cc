#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include "net/http/server.h"
#include "net/http/test_client.h"
#include "net/http/test_server.h"

namespace pelton {
namespace {

using std::chrono::milliseconds;

// A folder for the test's files; new pairs of certificate and key are written into it.
class Files {
 public:
  Files() {
    std::string name = std::filesystem::temp_directory_path() / "pelton_tls_XXXXXX";
    folder_ = ::mkdtemp(name.data());
    WritePair();
  }
  ~Files() { std::filesystem::remove_all(folder_); }
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;

  std::string certificate() const { return folder_ + "/certificate.pem"; }
  std::string key() const { return folder_ + "/key.pem"; }

  // A self-signed pair, put in place by renaming, as certificate tools do.
  void WritePair() const {
    EVP_PKEY* const pair = EVP_EC_gen("P-256");
    X509* const x509 = ::X509_new();
    ::X509_set_version(x509, 2);
    ::ASN1_INTEGER_set(::X509_get_serialNumber(x509), 1);
    ::X509_gmtime_adj(X509_getm_notBefore(x509), 0);
    ::X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
    ::X509_set_pubkey(x509, pair);
    X509_NAME* const name = ::X509_get_subject_name(x509);
    ::X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                 reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
    ::X509_set_issuer_name(x509, name);
    ::X509_sign(x509, pair, EVP_sha256());
    const auto write = [](const std::string& path, const auto& print) {
      std::FILE* const file = std::fopen((path + ".new").c_str(), "w");
      print(file);
      std::fclose(file);
      std::filesystem::rename(path + ".new", path);
    };
    write(key(), [&](std::FILE* file) {
      ::PEM_write_PrivateKey(file, pair, nullptr, nullptr, 0, nullptr, nullptr);
    });
    write(certificate(), [&](std::FILE* file) { ::PEM_write_X509(file, x509); });
    ::X509_free(x509);
    ::EVP_PKEY_free(pair);
  }

 private:
  std::string folder_;
};

HttpServerOptions WithTls(const Files& files) {
  return {.header_timeout = milliseconds(2000),
          .tls_certificate = files.certificate(),
          .tls_key = files.key()};
}

TEST(HttpTls, AnswersStreamsAndEndsInOrder) {
  const Files files;
  TestServer server(WithTls(files));
  EXPECT_TRUE(server.server->url().starts_with("https://127.0.0.1:"));
  TestClient client(server.port(), true);
  ASSERT_TRUE(client.connected());
  EXPECT_TRUE(client.Protocol() == "TLSv1.3" || client.Protocol() == "TLSv1.2");
  const std::string body(1 << 20, 'b');
  client.Send(PostRequest("/a", body));
  EXPECT_EQ(client.Receive().body, "POST /a " + body);
  client.Send(GetRequest("/hold", "Connection: close\r\n"));
  const auto [request, response] = server.Take();
  EXPECT_TRUE(request->tls);
  response->BeginStream(200, {}, "");
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(response->Write("piece"));
  response->End();
  const TestClient::Answer answer = client.Receive();
  EXPECT_TRUE(answer.complete);
  EXPECT_EQ(answer.body.size(), 5000u);
  EXPECT_EQ(client.ReceiveAll(), "");
  EXPECT_TRUE(client.ended_in_order());
}

TEST(HttpTls, NoticesThatTheClientLeft) {
  const Files files;
  TestServer server(WithTls(files));
  TestClient client(server.port(), true);
  client.Send(GetRequest("/hold"));
  const ResponsePtr response = server.Take().second;
  client.Close();
  EXPECT_TRUE(Eventually([&] { return response->closed(); }));
  EXPECT_TRUE(Eventually([&] { return server.server->connections() == 0; }));
}

TEST(HttpTls, EndsHandshakesThatDoNotComeOrAreNone) {
  const Files files;
  HttpServerOptions options = WithTls(files);
  options.header_timeout = milliseconds(100);
  TestServer server(std::move(options));
  TestClient silent(server.port());
  EXPECT_EQ(silent.ReceiveAll(), "");
  TestClient plain(server.port());
  plain.Send(GetRequest("/"));
  EXPECT_EQ(plain.ReceiveAll().find("HTTP/1.1"), std::string::npos);
  EXPECT_TRUE(Eventually([&] { return server.server->connections() == 0; }));
}

TEST(HttpTls, ReadsFilesThatChangeAndKeepsAPairThatFits) {
  const Files files;
  TestServer server(WithTls(files));
  const auto digest = [&] { return TestClient(server.port(), true).CertificateDigest(); };
  const std::string first = digest();
  files.WritePair();
  std::string second;
  EXPECT_TRUE(Eventually([&] { return (second = digest()) != first; }));
  { std::ofstream(files.key()) << "no key"; }
  EXPECT_TRUE(Eventually([&] {
    EXPECT_EQ(digest(), second);
    return server.log().find("the certificate in use stays") != std::string::npos;
  }));
  EXPECT_EQ(digest(), second);
  files.WritePair();
  EXPECT_TRUE(Eventually([&] { return digest() != second; }));
}

TEST(HttpTls, RefusesToStartWithoutAPair) {
  const Files files;
  HttpServerOptions options = WithTls(files);
  options.port = 0;
  options.tls_key = files.certificate();
  const auto ignore = [](const RequestPtr&, const ResponsePtr&) {};
  Status status = HttpServer::Start(options, ignore).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find(files.certificate()), std::string::npos);
  options = WithTls(files);
  options.port = 0;
  options.tls_certificate = "/nowhere.pem";
  status = HttpServer::Start(options, ignore).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("/nowhere.pem"), std::string::npos);
}

}  // namespace
}  // namespace pelton
