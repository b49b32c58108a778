#include "net/download/address_guard.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <array>
#include <string>

namespace pelton {
namespace {

bool IsGlobal(const std::string& text) {
  std::array<char, 16> bytes{};
  const bool six = text.find(':') != std::string::npos;
  EXPECT_EQ(::inet_pton(six ? AF_INET6 : AF_INET, text.c_str(), bytes.data()), 1) << text;
  return IsGlobalAddress({bytes.data(), six ? size_t{16} : size_t{4}});
}

// As Python's ipaddress.is_global has it, and stricter where IPv6 stands for an address of IPv4.
TEST(AddressGuard, AddressesOfThePublicInternet) {
  for (const char* text :
       {"1.1.1.1",         "8.8.8.8",          "9.255.255.255",        "11.0.0.0",
        "100.63.255.255",  "100.128.0.0",      "126.255.255.255",      "128.0.0.0",
        "169.253.255.255", "169.255.0.0",      "172.15.255.255",       "172.32.0.0",
        "192.0.1.0",       "192.0.3.0",        "192.167.255.255",      "192.169.0.0",
        "198.17.255.255",  "198.20.0.0",       "198.51.99.255",        "203.0.114.0",
        "223.255.255.255", "2600::1",          "2606:4700:4700::1111", "2a00:1450::1",
        "::ffff:8.8.8.8",  "64:ff9b::8.8.8.8", "2002:808:808::1"}) {
    EXPECT_TRUE(IsGlobal(text)) << text;
  }
}

TEST(AddressGuard, AllOthers) {
  for (const char* text : {"0.0.0.0",
                           "0.1.2.3",
                           "10.0.0.0",
                           "10.255.255.255",
                           "100.64.0.1",
                           "100.127.255.255",
                           "127.0.0.1",
                           "127.255.255.255",
                           "169.254.169.254",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.0.0.1",
                           "192.0.0.170",
                           "192.0.2.1",
                           "192.168.0.1",
                           "192.168.255.255",
                           "192.88.99.1",
                           "198.18.0.1",
                           "198.19.255.255",
                           "198.51.100.1",
                           "203.0.113.1",
                           "224.0.0.1",
                           "239.255.255.255",
                           "240.0.0.1",
                           "255.255.255.255",
                           "::",
                           "::1",
                           "::2",
                           "::7f00:1",
                           "::ffff:127.0.0.1",
                           "::ffff:10.0.0.1",
                           "::ffff:169.254.169.254",
                           "::ffff:0:127.0.0.1",
                           "64:ff9b::127.0.0.1",
                           "64:ff9b::192.168.1.1",
                           "64:ff9b:1::1",
                           "100::1",
                           "2001::1",
                           "2001:20::1",
                           "2001:db8::1",
                           "2002:7f00:1::1",
                           "2002:a00:1::1",
                           "2002:c0a8:101::1",
                           "3fff::1",
                           "4000::1",
                           "5f00::1",
                           "fc00::1",
                           "fd00:ec2::254",
                           "fe80::1",
                           "fec0::1",
                           "ff02::1",
                           "ffff::1"}) {
    EXPECT_FALSE(IsGlobal(text)) << text;
  }
  EXPECT_FALSE(IsGlobalAddress(""));
  EXPECT_FALSE(IsGlobalAddress("abc"));
}

}  // namespace
}  // namespace pelton
