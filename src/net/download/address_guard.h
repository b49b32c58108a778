#pragma once

#include <curl/curl.h>
#include <sys/socket.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "net/download/curl_library.h"

namespace pelton {

// Whether an address is one of the public Internet: not of this machine, of a private network or a
// link, of several machines, reserved (RFC 6890 and its registries), nor one of those inside an
// IPv6 address that maps, embeds or tunnels IPv4. `bytes` are 4 or 16, in network order.
bool IsGlobalAddress(std::string_view bytes);

// Keeps a server that redirects from reaching into the network that this process is in: a host
// other than the one that was asked for must have a global address, by the address that is
// connected to, whatever its name says. Where the host that was asked for is itself not global, its
// operator's network is this one, and it may redirect inside it. Proxies may have any address, and
// decide on their own whom they connect to. One transfer at a time.
class AddressGuard {
 public:
  // `url`: what is asked for. Resolves the proxies, each a host or an address with one.
  AddressGuard(std::string_view url, const std::vector<std::string>& proxies);

  // The handle's connections are looked at from here on; the guard must outlive them.
  void Watch(CURL* curl);
  // What was refused, in words; empty: nothing.
  const std::string& refused() const { return refused_; }

 private:
  static curl_socket_t OnSocket(void* user, curlsocktype purpose, struct curl_sockaddr* address);
  bool Allows(const struct curl_sockaddr& address);

  const std::string host_;            // of what was asked for
  std::vector<std::string> proxies_;  // their addresses, as bytes
  CURL* curl_ = nullptr;
  bool is_inside_ = false;  // the host that was asked for is not global
  std::string refused_;
};

}  // namespace pelton
