#include "net/download/address_guard.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace pelton {
namespace {

struct Network {
  std::array<uint8_t, 16> prefix;
  int bits;
};

// Of IPv4, where nobody on the Internet is.
constexpr Network kInside4[] = {
    {{0}, 8},
    {{10}, 8},
    {{100, 64}, 10},
    {{127}, 8},
    {{169, 254}, 16},
    {{172, 16}, 12},
    {{192, 0, 0}, 24},
    {{192, 0, 2}, 24},
    {{192, 168}, 16},
    {{192, 88, 99}, 24},
    {{198, 18}, 15},
    {{198, 51, 100}, 24},
    {{203, 0, 113}, 24},
    {{224}, 3},
};
// Of IPv6, the part that is in use, and what in it is special.
constexpr Network kGlobal6 = {{0x20}, 3};
constexpr Network kInside6[] = {
    {{0x20, 0x01}, 23},              // protocols, Teredo among them
    {{0x20, 0x01, 0x0d, 0xb8}, 32},  // documentation
    {{0x3f, 0xff}, 20},              // documentation
};
// IPv6 addresses with one of IPv4 at this byte.
struct Embedding {
  Network network;
  size_t at;
};
constexpr Embedding kEmbeddings[] = {
    {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96}, 12},  // mapped
    {{{0x00, 0x64, 0xff, 0x9b}, 96}, 12},                    // NAT64
    {{{0x20, 0x02}, 16}, 2},                                 // 6to4
};

bool Holds(const Network& network, std::string_view bytes) {
  for (int bit = 0; bit < network.bits; bit += 8) {
    const auto at = static_cast<size_t>(bit / 8);
    const int left = std::min(network.bits - bit, 8);
    const auto mask = static_cast<uint8_t>(0xff << (8 - left));
    if (((static_cast<uint8_t>(bytes[at]) ^ network.prefix[at]) & mask) != 0) return false;
  }
  return true;
}

template <typename Networks>
bool AnyHolds(const Networks& networks, std::string_view bytes) {
  return std::ranges::any_of(networks, [&](const Network& one) { return Holds(one, bytes); });
}

// The bytes of an IP address; empty for one of another family.
std::string BytesOf(const struct sockaddr* address) {
  if (address->sa_family == AF_INET) {
    struct sockaddr_in in {};
    std::memcpy(&in, address, sizeof(in));
    return {reinterpret_cast<const char*>(&in.sin_addr), sizeof(in.sin_addr)};
  }
  if (address->sa_family != AF_INET6) return {};
  struct sockaddr_in6 in {};
  std::memcpy(&in, address, sizeof(in));
  return {reinterpret_cast<const char*>(&in.sin6_addr), sizeof(in.sin6_addr)};
}

// The host of a URL, without its port, in lower case.
std::string HostOf(std::string_view url) {
  if (const size_t scheme = url.find("://"); scheme != url.npos) url.remove_prefix(scheme + 3);
  url = url.substr(0, url.find_first_of("/?#"));
  if (const size_t user = url.rfind('@'); user != url.npos) url.remove_prefix(user + 1);
  std::string host(url.starts_with('[') ? url.substr(1, url.find(']') - 1)
                                        : url.substr(0, url.find(':')));
  std::ranges::transform(host, host.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  });
  return host;
}

void AddAddresses(const std::string& host, std::vector<std::string>* addresses) {
  struct addrinfo hints {};
  hints.ai_socktype = SOCK_STREAM;
  struct addrinfo* list = nullptr;
  if (::getaddrinfo(host.c_str(), nullptr, &hints, &list) != 0) return;
  for (const struct addrinfo* at = list; at != nullptr; at = at->ai_next) {
    addresses->push_back(BytesOf(at->ai_addr));
  }
  ::freeaddrinfo(list);
}

}  // namespace

bool IsGlobalAddress(std::string_view bytes) {
  if (bytes.size() == 4) return !AnyHolds(kInside4, bytes);
  if (bytes.size() != 16) return false;
  for (const Embedding& embedding : kEmbeddings) {
    if (Holds(embedding.network, bytes)) return IsGlobalAddress(bytes.substr(embedding.at, 4));
  }
  return Holds(kGlobal6, bytes) && !AnyHolds(kInside6, bytes);
}

AddressGuard::AddressGuard(std::string_view url, const std::vector<std::string>& proxies)
    : host_(HostOf(url)) {
  for (const std::string& proxy : proxies) AddAddresses(HostOf(proxy), &proxies_);
}

void AddressGuard::Watch(CURL* curl) {
  curl_ = curl;
  const CurlLibrary& library = *LoadCurl();
  library.easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, &OnSocket);
  library.easy_setopt(curl, CURLOPT_OPENSOCKETDATA, this);
}

bool AddressGuard::Allows(const struct curl_sockaddr& address) {
  const std::string bytes = BytesOf(&address.addr);
  const bool is_proxy = std::ranges::find(proxies_, bytes) != proxies_.end();
  if (is_proxy || IsGlobalAddress(bytes)) return true;
  const char* url = nullptr;
  LoadCurl()->easy_getinfo(curl_, CURLINFO_EFFECTIVE_URL, &url);
  const std::string host = HostOf(url == nullptr ? "" : url);
  if (host == host_) is_inside_ = true;
  if (is_inside_) return true;
  refused_ = fmt::format("{} redirects to {}, whose address is not on the public Internet", host_,
                         host.substr(0, 100));
  return false;
}

curl_socket_t AddressGuard::OnSocket(void* user, curlsocktype purpose,
                                     struct curl_sockaddr* address) {
  auto* guard = static_cast<AddressGuard*>(user);
  if (purpose != CURLSOCKTYPE_IPCXN || !guard->Allows(*address)) return CURL_SOCKET_BAD;
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

}  // namespace pelton
