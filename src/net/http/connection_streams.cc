#include <poll.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <new>
#include <utility>
#include <vector>

#include "net/http/await.h"
#include "net/http/connection.h"

namespace pelton {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

void CloseSocket(tcp::socket& socket, bool reset) {
  ErrorCode ignored;
  if (reset) ignored = socket.set_option(asio::socket_base::linger(true, 0), ignored);
  ignored = socket.close(ignored);
}

bool PeerHasClosed(tcp::socket& socket) {
  pollfd poll = {.fd = socket.native_handle(), .events = POLLRDHUP, .revents = 0};
  return ::poll(&poll, 1, 0) > 0;
}

class PlainConnection final : public HttpConnection {
 public:
  PlainConnection(std::shared_ptr<HttpService> service, std::shared_ptr<HttpLoop> loop,
                  std::string peer, tcp::socket socket)
      : HttpConnection(std::move(service), std::move(loop), std::move(peer), false),
        socket_(std::move(socket)) {}

 private:
  std::shared_ptr<PlainConnection> self() {
    return std::static_pointer_cast<PlainConnection>(shared_from_this());
  }

  void StartReading() override { asio::co_spawn(loop().io(), ReadLoop(self()), asio::detached); }

  // Waits first and reads then, so that a connection needs a buffer only while it has input.
  static asio::awaitable<void> ReadLoop(std::shared_ptr<PlainConnection> self) {
    try {
      co_await ReadAll(self);
    } catch (const std::bad_alloc&) {
      self->Close(true);
    }
  }

  static asio::awaitable<void> ReadAll(std::shared_ptr<PlainConnection> self) {
    while (self->WantsInput()) {
      auto [error] = co_await self->socket_.async_wait(tcp::socket::wait_read, kAwait);
      if (self->closed()) co_return;
      if (error) {
        self->OnInputEnd(false);
        co_return;
      }
      char* const scratch = self->loop().scratch().data();
      const size_t bytes = self->socket_.read_some(asio::buffer(scratch, self->MaxInput()), error);
      if (error == asio::error::would_block || error == asio::error::interrupted) continue;
      if (error) {
        self->OnInputEnd(error == asio::error::eof);
        co_return;
      }
      self->OnInput({scratch, bytes});
    }
    self->OnReadingStopped();
  }

  void StartWriting(const WriteBuffers& buffers) override {
    socket_.async_write_some(buffers, [self = self()](const ErrorCode& error, size_t bytes) {
      self->OnWritten(error, bytes);
    });
  }

  void ShutdownSend() override {
    ErrorCode ignored;
    ignored = socket_.shutdown(tcp::socket::shutdown_send, ignored);
  }

  void CloseStream(bool reset) override { CloseSocket(socket_, reset); }
  bool PeerHasLeft() override { return PeerHasClosed(socket_); }

  tcp::socket socket_;
};

class TlsConnection final : public HttpConnection {
 public:
  TlsConnection(std::shared_ptr<HttpService> service, std::shared_ptr<HttpLoop> loop,
                std::string peer, tcp::socket socket, std::shared_ptr<asio::ssl::context> context)
      : HttpConnection(std::move(service), std::move(loop), std::move(peer), true),
        context_(std::move(context)),
        stream_(std::move(socket), *context_) {}

 private:
  static constexpr size_t kRecord = 16 << 10;  // the most that TLS decrypts at once

  std::shared_ptr<TlsConnection> self() {
    return std::static_pointer_cast<TlsConnection>(shared_from_this());
  }

  void StartReading() override { asio::co_spawn(loop().io(), ReadLoop(self()), asio::detached); }

  static asio::awaitable<void> ReadLoop(std::shared_ptr<TlsConnection> self) {
    try {
      co_await ReadAll(self);
    } catch (const std::bad_alloc&) {
      self->Close(true);
    }
  }

  static asio::awaitable<void> ReadAll(std::shared_ptr<TlsConnection> self) {
    if (self->buffer_.empty()) {
      const auto [error] =
          co_await self->stream_.async_handshake(asio::ssl::stream_base::server, kAwait);
      if (self->closed()) co_return;
      if (error) {
        self->Close(false);
        co_return;
      }
      self->buffer_.resize(kRecord);
      self->OnReady();
    }
    while (self->WantsInput()) {
      const auto [error, bytes] =
          co_await self->stream_.async_read_some(asio::buffer(self->buffer_), kAwait);
      if (self->closed()) co_return;
      if (error) {
        self->OnInputEnd(error == asio::error::eof);
        co_return;
      }
      self->OnInput({self->buffer_.data(), bytes});
    }
    self->OnReadingStopped();
  }

  void StartWriting(const WriteBuffers& buffers) override {
    stream_.async_write_some(buffers, [self = self()](const ErrorCode& error, size_t bytes) {
      self->OnWritten(error, bytes);
    });
  }

  // Says that this was all; the connection waits for the client's word by reading.
  void ShutdownSend() override {
    stream_.async_shutdown([self = self()](const ErrorCode&) {});
  }

  void CloseStream(bool reset) override { CloseSocket(stream_.next_layer(), reset); }
  bool PeerHasLeft() override { return PeerHasClosed(stream_.next_layer()); }

  const std::shared_ptr<asio::ssl::context> context_;  // of this connection, newer ones may follow
  asio::ssl::stream<tcp::socket> stream_;
  std::vector<char> buffer_;  // empty until the handshake is done
};

}  // namespace

std::shared_ptr<HttpConnection> NewPlainConnection(std::shared_ptr<HttpService> service,
                                                   std::shared_ptr<HttpLoop> loop, std::string peer,
                                                   tcp::socket socket) {
  return std::make_shared<PlainConnection>(std::move(service), std::move(loop), std::move(peer),
                                           std::move(socket));
}

std::shared_ptr<HttpConnection> NewTlsConnection(std::shared_ptr<HttpService> service,
                                                 std::shared_ptr<HttpLoop> loop, std::string peer,
                                                 tcp::socket socket,
                                                 std::shared_ptr<asio::ssl::context> context) {
  return std::make_shared<TlsConnection>(std::move(service), std::move(loop), std::move(peer),
                                         std::move(socket), std::move(context));
}

}  // namespace pelton
