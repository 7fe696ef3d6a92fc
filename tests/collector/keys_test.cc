// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/keys.h>

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <gtest/gtest.h>

namespace weft::collector {
namespace {

class KeyRingTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "keys_test_" +
                 testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }

  std::unique_ptr<KeyRing> Open() {
    auto ring = KeyRing::Open(directory_);
    EXPECT_TRUE(ring.ok()) << ring.status();
    return ring.ok() ? *std::move(ring) : nullptr;
  }

  std::string Content(const char* name) {
    std::ifstream in(directory_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  std::filesystem::path directory_;
};

TEST(AcceptedKeysTest, WithoutKeysEverythingIsAccepted) {
  EXPECT_TRUE(AcceptedKeys().Accepts(""));
  EXPECT_TRUE(AcceptedKeys().Accepts("anything"));
}

TEST(AcceptedKeysTest, WithKeysOnlyTheyAreAccepted) {
  const AcceptedKeys keys({{"one", "first"}, {"two", "second"}});
  EXPECT_TRUE(keys.Accepts("first"));
  EXPECT_TRUE(keys.Accepts("second"));
  EXPECT_FALSE(keys.Accepts(""));
  EXPECT_FALSE(keys.Accepts("firs"));
  EXPECT_FALSE(keys.Accepts("first "));
}

TEST_F(KeyRingTest, FindsKeysAgainAfterARestart) {
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  {
    auto ring = Open();
    a = ring->Remember("lsv2_pt_first").value();
    b = ring->Remember("lsv2_pt_second").value();
    EXPECT_EQ(ring->Remember("lsv2_pt_first").value(), a);
    EXPECT_EQ(ring->Remember("").value(), 0u);
  }
  EXPECT_NE(a, b);
  auto ring = Open();
  EXPECT_EQ(ring->Find(a), "lsv2_pt_first");
  EXPECT_EQ(ring->Find(b), "lsv2_pt_second");
  EXPECT_EQ(ring->Find(a ^ 1), std::nullopt);
  EXPECT_EQ(ring->size(), 2u);
}

TEST_F(KeyRingTest, NoFileHoldsAKeyInClearAndTheSecretIsPrivate) {
  Open()->Remember("lsv2_pt_clear").value();
  EXPECT_EQ(Content("keys").find("lsv2_pt_clear"), std::string::npos);
  EXPECT_FALSE(Content("keys").empty());
  for (const char* name : {"secret", "keys"}) {
    struct stat info {};
    ASSERT_EQ(::stat((directory_ / name).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u) << name;
  }
}

TEST_F(KeyRingTest, ATornLineIsCutAndTheOthersAreKept) {
  const std::uint64_t id = Open()->Remember("kept").value();
  std::ofstream(directory_ / "keys", std::ios::app) << "0123456789abcdef 00ff";
  auto ring = Open();
  EXPECT_EQ(ring->Find(id), "kept");
  const std::uint64_t later = ring->Remember("later").value();
  EXPECT_EQ(Open()->Find(later), "later");
  EXPECT_EQ(ring->unreadable(), 0u);
}

TEST_F(KeyRingTest, ReplacedSecretMakesEntriesUnreadableButStarts) {
  const std::uint64_t id = Open()->Remember("lost").value();
  std::filesystem::remove(directory_ / "secret");
  auto ring = Open();
  EXPECT_EQ(ring->Find(id), std::nullopt);
  EXPECT_EQ(ring->unreadable(), 1u);
}

TEST_F(KeyRingTest, ChangedEntriesAreNotDecrypted) {
  const std::uint64_t id = Open()->Remember("lsv2").value();
  std::string content = Content("keys");
  char& digit = content[content.size() - 5];
  digit = digit == '0' ? '1' : '0';
  std::ofstream(directory_ / "keys", std::ios::trunc) << content;
  EXPECT_EQ(Open()->Find(id), std::nullopt);
}

TEST_F(KeyRingTest, ASecretThatOthersCanReadIsRefused) {
  Open();
  std::filesystem::permissions(directory_ / "secret", std::filesystem::perms(0644));
  const absl::Status status = KeyRing::Open(directory_).status();
  EXPECT_FALSE(status.ok());
  EXPECT_NE(std::string(status.message()).find("secret"), std::string::npos);
}

TEST_F(KeyRingTest, AnOverlongKeyIsNotRemembered) {
  EXPECT_FALSE(Open()->Remember(std::string(10'000, 'k')).ok());
}

}  // namespace
}  // namespace weft::collector
