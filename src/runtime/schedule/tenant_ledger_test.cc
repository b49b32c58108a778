#include "runtime/schedule/tenant_ledger.h"

#include <gtest/gtest.h>

#include <string>

namespace pelton {
namespace {

double ServedOnEntering(TenantLedger& ledger, const char* tenant) {
  const uint32_t place = ledger.Enter(tenant, 1);
  return ledger.shares()[place].served;
}

TEST(TenantLedger, ChargesByWeightAndLiftsWhoReturns) {
  TenantLedger ledger;
  const uint32_t a = ledger.Enter("a", 1);
  const uint32_t b = ledger.Enter("b", 4);
  EXPECT_EQ(ledger.Enter("a", 1), a);
  ledger.Charge(a, 100);
  ledger.Charge(b, 100);
  EXPECT_EQ(ledger.shares()[a].served, 100);
  EXPECT_EQ(ledger.shares()[b].served, 25);
  // A newcomer starts with the least served one, not with an advantage.
  EXPECT_EQ(ServedOnEntering(ledger, "c"), 25);
  ledger.Leave(b);
  ledger.Charge(ledger.Enter("c", 1), 500);
  // Who comes back has saved nothing up; who owed still owes.
  EXPECT_EQ(ServedOnEntering(ledger, "b"), 100);
  ledger.Leave(a);
  ledger.Leave(a);
  EXPECT_EQ(ServedOnEntering(ledger, "a"), 100);
}

TEST(TenantLedger, RemembersBoundedlyMany) {
  TenantLedger ledger;
  const uint32_t debtor = ledger.Enter("debtor", 1);
  ledger.Charge(debtor, 1e6);
  ledger.Leave(debtor);
  for (size_t i = 0; i < 10 * TenantLedger::kMaxIdle; ++i) {
    ledger.Leave(ledger.Enter("tenant " + std::to_string(i), 1));
  }
  EXPECT_LE(ledger.shares().size(), TenantLedger::kMaxIdle + 1);
  EXPECT_EQ(ServedOnEntering(ledger, "debtor"), 1e6) << "those served least go";
}

}  // namespace
}  // namespace pelton
