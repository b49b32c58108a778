#include "net/http/server.h"

#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdio>
#include <future>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "net/http/await.h"
#include "net/http/connection.h"
#include "net/http/network_loop.h"
#include "net/http/tls_files.h"

namespace pelton {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;
using std::chrono::milliseconds;

constexpr milliseconds kAcceptPause{100};  // when descriptors or memory are used up
constexpr int64_t kLogPauseNs = 60'000'000'000;
constexpr size_t kMaxRefused = 64;  // connections that are told so in full; the rest is just closed
constexpr size_t kMaxConnections = 16384;
constexpr size_t kOtherFiles = 128;  // for the rest of the process

size_t ConnectionsOfFileLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return kMaxConnections;
  const auto files = static_cast<size_t>(std::min<rlim_t>(limit.rlim_cur, 1 << 30));
  const size_t left = files > 2 * kOtherFiles ? files - kOtherFiles : files / 2;
  return std::clamp<size_t>(left, 1, kMaxConnections);
}

// Fine enough for the shortest limit, and rare enough to cost nothing.
milliseconds TickOf(const HttpServerOptions& options) {
  const milliseconds shortest =
      std::min({options.header_timeout, options.body_timeout, options.keepalive_idle,
                options.write_stall, options.keepalive_interval});
  return std::clamp(shortest / 8, milliseconds(2), milliseconds(500));
}

Status Validate(const HttpServerOptions& options) {
  const milliseconds shortest =
      std::min({options.header_timeout, options.body_timeout, options.keepalive_idle,
                options.write_stall, options.keepalive_interval});
  if (shortest <= milliseconds(0))
    return InvalidArgument("a time limit of the server is not above 0");
  if (options.threads == 0 || options.threads > 1024) {
    return InvalidArgument(fmt::format("{} network threads: expected 1 to 1024", options.threads));
  }
  if (options.max_header_bytes == 0 || options.max_headers == 0 || options.min_body_rate == 0 ||
      options.max_stream_buffer == 0 || options.hard_stream_buffer == 0) {
    return InvalidArgument("a size limit of the server is 0");
  }
  if (options.tls_certificate.empty() != options.tls_key.empty()) {
    return InvalidArgument("TLS needs a certificate and a key; only one of them is given");
  }
  return OkStatus();
}

std::string PeerName(const tcp::endpoint& peer) {
  const asio::ip::address address = peer.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).to_string();
  }
  return address.to_string();
}

}  // namespace

struct HttpServer::Impl {
  explicit Impl(HttpServerOptions options, HttpHandler handler, HttpHeaderCheck header_check) {
    service->options = std::move(options);
    service->handler = std::move(handler);
    service->header_check = std::move(header_check);
    service->bodies = std::make_shared<BodyBudget>(service->options.max_bodies);
  }

  Status Listen();
  asio::awaitable<void> AcceptLoop();
  asio::awaitable<void> AcceptAll();
  void Admit(tcp::socket socket, const tcp::endpoint& peer, const std::shared_ptr<HttpLoop>& loop);
  void StopAccepting();
  void Stop(milliseconds grace);
  void Log(std::string_view line) const;
  std::string Name() const {
    const std::string& address = service->options.address;
    const bool v6 = address.find(':') != address.npos;
    return v6 ? fmt::format("[{}]:{}", address, port) : fmt::format("{}:{}", address, port);
  }

  const std::shared_ptr<HttpService> service = std::make_shared<HttpService>();
  uint16_t port = 0;
  std::vector<std::shared_ptr<HttpLoop>> loops;
  std::unique_ptr<TlsFiles> tls;            // the first loop's thread
  std::unique_ptr<tcp::acceptor> acceptor;  // likewise
  std::unique_ptr<asio::steady_timer> pause;
  int64_t logged_ns = 0;
  size_t next_loop = 0;
  bool stopped = false;
};

void HttpServer::Impl::Log(std::string_view line) const {
  if (service->options.log) {
    service->options.log(line);
  } else {
    std::fprintf(stderr, "pelton: http: %.*s\n", static_cast<int>(line.size()), line.data());
  }
}

Status HttpServer::Impl::Listen() {
  const HttpServerOptions& options = service->options;
  ErrorCode error;
  port = options.port;
  const asio::ip::address address = options.address == "localhost"
                                        ? asio::ip::address_v4::loopback()
                                        : asio::ip::make_address(options.address, error);
  if (error) {
    return InvalidArgument(
        fmt::format("{}: the address is not a numeric one and not localhost", Name()));
  }
  const tcp::endpoint endpoint(address, options.port);
  acceptor = std::make_unique<tcp::acceptor>(loops[0]->io());
  pause = std::make_unique<asio::steady_timer>(loops[0]->io());
  error = acceptor->open(endpoint.protocol(), error);
  if (!error) error = acceptor->set_option(asio::socket_base::reuse_address(true), error);
  if (!error) error = acceptor->bind(endpoint, error);
  if (!error) error = acceptor->listen(asio::socket_base::max_listen_connections, error);
  if (error == asio::error::address_in_use) {
    return Unavailable(fmt::format("{}: the port is in use by another program", Name()));
  }
  if (error) return InvalidArgument(fmt::format("{}: cannot listen: {}", Name(), error.message()));
  port = acceptor->local_endpoint(error).port();
  return OkStatus();
}

asio::awaitable<void> HttpServer::Impl::AcceptLoop() {
  while (acceptor->is_open()) {
    try {
      co_await AcceptAll();
    } catch (const std::bad_alloc&) {
      continue;  // the connection that came is closed; the next one is waited for
    }
  }
}

asio::awaitable<void> HttpServer::Impl::AcceptAll() {
  while (acceptor->is_open()) {
    const std::shared_ptr<HttpLoop> loop = loops[next_loop];
    tcp::socket socket(loop->io());
    tcp::endpoint peer;
    auto [error] = co_await acceptor->async_accept(socket, peer, kAwait);
    if (!acceptor->is_open()) break;
    if (!error) {
      next_loop = (next_loop + 1) % loops.size();
      Admit(std::move(socket), peer, loop);
      continue;
    }
    if (error == asio::error::connection_aborted || error == asio::error::interrupted) continue;
    // Trying again at once would spin: the connection stays in the queue.
    const int64_t now_ns = MonotonicClock().NowNs();
    if (logged_ns == 0 || now_ns - logged_ns >= kLogPauseNs) {
      logged_ns = now_ns;
      Log(fmt::format("{}: cannot accept connections for now: {}", Name(), error.message()));
    }
    pause->expires_after(kAcceptPause);
    co_await pause->async_wait(kAwait);
  }
}

void HttpServer::Impl::Admit(tcp::socket socket, const tcp::endpoint& peer,
                             const std::shared_ptr<HttpLoop>& loop) {
  ErrorCode ignored;
  ignored = socket.non_blocking(true, ignored);
  ignored = socket.set_option(tcp::no_delay(true), ignored);
  // The kernel takes no more than this beyond what the client's window allows, so that a stalled
  // client is noticed here and costs little there.
  const int low_water =
      static_cast<int>(std::min<size_t>(service->options.max_stream_buffer, 1 << 30));
  ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &low_water,
               sizeof low_water);
  const std::string name = PeerName(peer);
  const auto context = tls != nullptr ? tls->Current(MonotonicClock().NowNs(),
                                                     [this](std::string_view l) { Log(l); })
                                      : nullptr;
  const bool admitted = service->Admit(name);
  if (!admitted) {
    if (tls != nullptr || service->num_refused.load(std::memory_order_relaxed) >= kMaxRefused)
      return;
    service->num_refused.fetch_add(1, std::memory_order_relaxed);
  }
  const std::shared_ptr<HttpConnection> connection =
      tls != nullptr ? NewTlsConnection(service, loop, name, std::move(socket), context)
                     : NewPlainConnection(service, loop, name, std::move(socket));
  loop->Post([connection, admitted] {
    if (admitted) return connection->Start();
    connection->Refuse(503, "too_many_connections", "The server has too many connections.");
  });
}

void HttpServer::Impl::StopAccepting() {
  service->draining.store(true);
  const auto close = [this] {
    ErrorCode ignored;
    ignored = acceptor->close(ignored);
    pause->cancel();
  };
  if (loops[0]->IsCurrentThread()) return close();
  auto done = std::make_shared<std::promise<void>>();
  if (loops[0]->Post([close, done] {
        close();
        done->set_value();
      })) {
    done->get_future().wait();
  }
}

void HttpServer::Impl::Stop(milliseconds grace) {
  if (std::exchange(stopped, true)) return;
  StopAccepting();
  const auto end = std::chrono::steady_clock::now() + grace;
  while (service->num_exchanges.load() > 0 && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(milliseconds(2));
  }
  // The first loop last: the acceptor's coroutine, which ends there, looks at the others.
  for (size_t i = loops.size(); i-- > 0;) loops[i]->Stop();
}

Result<std::unique_ptr<HttpServer>> HttpServer::Start(HttpServerOptions options,
                                                      HttpHandler handler,
                                                      HttpHeaderCheck header_check) {
  RETURN_IF_ERROR(Validate(options));
  if (options.max_connections == 0) options.max_connections = ConnectionsOfFileLimit();
  const milliseconds tick = TickOf(options);
  const size_t threads = options.threads;
  auto impl =
      std::make_unique<Impl>(std::move(options), std::move(handler), std::move(header_check));
  const HttpServerOptions& used = impl->service->options;
  if (!used.tls_certificate.empty()) {
    ASSIGN_OR_RETURN(impl->tls, TlsFiles::Open(used.tls_certificate, used.tls_key));
  }
  for (size_t i = 0; i < threads; ++i) impl->loops.push_back(std::make_shared<HttpLoop>(tick));
  RETURN_IF_ERROR(impl->Listen());
  asio::co_spawn(impl->loops[0]->io(), impl->AcceptLoop(), asio::detached);
  for (const auto& loop : impl->loops) loop->Start();
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() { impl_->Stop(milliseconds(0)); }
uint16_t HttpServer::port() const { return impl_->port; }
std::string HttpServer::url() const {
  return fmt::format("{}://{}", impl_->tls != nullptr ? "https" : "http", impl_->Name());
}
void HttpServer::StopAccepting() { impl_->StopAccepting(); }
void HttpServer::Stop(milliseconds grace) { impl_->Stop(grace); }
size_t HttpServer::connections() const { return impl_->service->num_connections.load(); }
size_t HttpServer::active_requests() const { return impl_->service->num_exchanges.load(); }

}  // namespace pelton
