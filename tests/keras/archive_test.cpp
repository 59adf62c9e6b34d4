// SPDX-License-Identifier: Apache-2.0
#include "keras/zip/archive.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>

#include "keras/zip/crc32.hpp"

namespace lamella::keras {
namespace {

OwnedBytes owned(std::string_view text) {
  const Buffer buffer(text.size());
  if (!text.empty()) std::memcpy(buffer.data, text.data(), text.size());
  return buffer.freeze();
}

template <typename F>
ErrorCode code_of(F&& f) {
  try {
    f();
  } catch (const LoadError& error) {
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorCode::internal;
}

std::string number(std::uint64_t value, int size) {
  std::string out;
  for (int i = 0; i < size; ++i) out.push_back(i < 8 ? static_cast<char>(value >> (8 * i) & 0xFFU) : '\0');
  return out;
}

/// A member and its stored fields; tests change single fields to make a hostile archive.
struct Member {
  explicit Member(std::string member_name, std::string content = "content")
      : name(std::move(member_name)), local_name(name), data(std::move(content)), size(data.size()) {
    crc = static_cast<std::uint32_t>(::crc32(0, reinterpret_cast<const Bytef*>(data.data()), static_cast<uInt>(data.size())));
  }
  Member deflated() const {
    Member out = *this;
    out.method = 8;
    z_stream stream{};
    deflateInit2(&stream, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY);
    out.data.resize(data.size() + 100);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
    stream.avail_in = static_cast<uInt>(data.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data.data());
    stream.avail_out = static_cast<uInt>(out.data.size());
    deflate(&stream, Z_FINISH);
    out.data.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
  }
  std::string name, local_name, data, descriptor;
  std::uint64_t size;
  std::uint32_t crc;
  std::uint16_t method = 0, flags = 0;
  std::uint32_t mode = 0;
  std::uint64_t local_size_shift = 0, offset_shift = 0;
};

struct Zip {
  std::vector<Member> members{};
  std::string prefix{}, comment{};
  std::uint64_t extra_entries = 0, directory_shift = 0, disk = 0;

  std::string bytes() const {
    std::string out = prefix, directory;
    for (const Member& m : members) {
      const std::uint64_t at = out.size() + m.offset_shift;
      const std::string middle = number(m.method, 2) + number(0, 4);
      const bool later = (m.flags & 8U) != 0;
      const std::string sizes =
          later ? number(0, 12) : number(m.crc, 4) + number(m.data.size(), 4) + number(m.size + m.local_size_shift, 4);
      out += number(0x04034b50, 4) + number(20, 2) + number(m.flags, 2) + middle + sizes + number(m.local_name.size(), 2) +
             number(0, 2) + m.local_name + m.data + m.descriptor;
      directory += number(0x02014b50, 4) + number(0x0314, 2) + number(20, 2) + number(m.flags, 2) + middle + number(m.crc, 4) +
                   number(m.data.size(), 4) + number(m.size, 4) + number(m.name.size(), 2) + number(0, 2) + number(0, 2) +
                   number(0, 2) + number(0, 2) + number(std::uint64_t{m.mode} << 16U, 4) + number(at, 4) + m.name;
    }
    const std::uint64_t begin = out.size() + directory_shift;
    const std::uint64_t count = members.size() + extra_entries;
    return out + directory + number(0x06054b50, 4) + number(disk, 2) + number(0, 2) + number(count, 2) + number(count, 2) +
           number(directory.size(), 4) + number(begin, 4) + number(comment.size(), 2) + comment;
  }
};

void read_all(const std::string& bytes) {
  const Archive archive(owned(bytes), Where("x.keras"));
  for (const std::string& name : archive.names()) static_cast<void>(archive.member(name));
}

Zip two() { return {.members = {Member("config.json"), Member("model.weights.h5", std::string(1027, 'w')).deflated()}}; }

TEST(ArchiveTest, GivesStoredAndDeflatedMembers) {
  const OwnedBytes file = owned(two().bytes());
  EXPECT_TRUE(Archive::looks_like(file.bytes));
  const Archive archive(file, Where("x.keras"));
  EXPECT_THAT(archive.names(), testing::ElementsAre("config.json", "model.weights.h5"));
  const OwnedBytes stored = archive.member("config.json");
  EXPECT_EQ(as_text(stored.bytes), "content");
  EXPECT_EQ(stored.owner, file.owner);
  EXPECT_EQ(as_text(archive.member("model.weights.h5").bytes), std::string(1027, 'w'));
  EXPECT_FALSE(archive.contains("metadata.json"));
  EXPECT_EQ(code_of([&] { static_cast<void>(archive.member("metadata.json")); }), ErrorCode::missing);
}

TEST(ArchiveTest, AcceptsEmptyArchivesMembersAndComments) {
  EXPECT_NO_THROW(read_all(Zip{}.bytes()));
  EXPECT_NO_THROW(read_all(Zip{.members = {Member("a", ""), Member("assets/", "")}, .comment = "made by hand"}.bytes()));
}

TEST(ArchiveTest, AcceptsDataDescriptors) {
  Zip zip = two();
  Member& m = zip.members[0];
  m.flags = 8;
  m.descriptor = number(0x08074b50, 4) + number(m.crc, 4) + number(m.size, 4) + number(m.size, 4);
  EXPECT_NO_THROW(read_all(zip.bytes()));
  m.descriptor = m.descriptor.substr(4);
  EXPECT_NO_THROW(read_all(zip.bytes()));
  m.descriptor.back() = 1;
  EXPECT_EQ(code_of([&] { read_all(zip.bytes()); }), ErrorCode::archive);
}

struct Hostile {
  const char* name;
  ErrorCode code;
  std::function<void(Zip&)> change;
};
class EachHostileZip : public testing::TestWithParam<Hostile> {};
TEST_P(EachHostileZip, IsRefusedWithItsCode) {
  Zip zip = two();
  GetParam().change(zip);
  EXPECT_EQ(code_of([&] { read_all(zip.bytes()); }), GetParam().code);
}
void rename(Zip& zip, const std::string& name) { zip.members[0].name = zip.members[0].local_name = name; }
const Hostile kHostile[] = {
    {"FakeEndInComment", ErrorCode::archive, [](Zip& z) { z.comment = Zip{}.bytes(); }},
    {"EntryCount", ErrorCode::archive, [](Zip& z) { z.extra_entries = 1; }},
    {"HugeEntryCount", ErrorCode::archive, [](Zip& z) { z.extra_entries = 65000; }},
    {"DirectoryPastEnd", ErrorCode::archive, [](Zip& z) { z.directory_shift = 1 << 20; }},
    {"DirectoryInsideMember", ErrorCode::archive, [](Zip& z) { z.directory_shift = static_cast<std::uint64_t>(-20); }},
    {"SeveralDisks", ErrorCode::archive, [](Zip& z) { z.disk = 1; }},
    {"LocalName", ErrorCode::archive, [](Zip& z) { z.members[0].local_name = "config.jsoN"; }},
    {"LocalSize", ErrorCode::archive, [](Zip& z) { z.members[0].local_size_shift = 1; }},
    {"WrongCrc", ErrorCode::archive, [](Zip& z) { z.members[0].crc ^= 1; }},
    {"Method12", ErrorCode::unsupported, [](Zip& z) { z.members[0].method = 12; }},
    {"Method99", ErrorCode::unsupported, [](Zip& z) { z.members[0].method = 99; }},
    {"Encrypted", ErrorCode::unsupported, [](Zip& z) { z.members[0].flags = 1; }},
    {"Duplicate", ErrorCode::archive, [](Zip& z) { z.members.push_back(Member("config.json", "hostile")); }},
    {"DuplicateButForCase", ErrorCode::archive, [](Zip& z) { z.members.push_back(Member("CONFIG.JSON", "hostile")); }},
    {"Overlap", ErrorCode::archive, [](Zip& z) { z.members[1].offset_shift = static_cast<std::uint64_t>(-48); }},
    {"Bomb", ErrorCode::limit, [](Zip& z) { z.members[1].size = 1U << 31U; }},
    {"Prefix", ErrorCode::archive, [](Zip& z) { z.prefix = "#!/bin/sh\n"; }},
    {"Climbing", ErrorCode::unsafe, [](Zip& z) { rename(z, "../x"); }},
    {"ClimbingInside", ErrorCode::unsafe, [](Zip& z) { rename(z, "a/../../x"); }},
    {"Absolute", ErrorCode::unsafe, [](Zip& z) { rename(z, "/abs"); }},
    {"Drive", ErrorCode::unsafe, [](Zip& z) { rename(z, "C:/x"); }},
    {"Backslash", ErrorCode::unsafe, [](Zip& z) { rename(z, "a\\b"); }},
    {"NulInName", ErrorCode::unsafe, [](Zip& z) { rename(z, std::string("a\0b", 3)); }},
    {"LongName", ErrorCode::limit, [](Zip& z) { rename(z, std::string(65535, 'n')); }},
    {"SymbolicLink", ErrorCode::unsafe, [](Zip& z) { z.members[0].mode = 0120777; }},
    {"DeflateEndsEarly", ErrorCode::archive, [](Zip& z) { z.members[1].data.pop_back(); }},
    {"DeflateGoesOn", ErrorCode::archive, [](Zip& z) { z.members[1].data += 'x'; }},
    {"DeflateTooLong", ErrorCode::archive, [](Zip& z) { z.members[1].size = 1026; }},
    {"DeflateTooShort", ErrorCode::archive, [](Zip& z) { z.members[1].size = 1028; }},
    {"DeflateDamaged", ErrorCode::archive, [](Zip& z) { z.members[1].data[0] = '\xFF'; }},
};
INSTANTIATE_TEST_SUITE_P(Zips, EachHostileZip, testing::ValuesIn(kHostile),
                         [](const auto& given) { return std::string(given.param.name); });

TEST(ArchiveTest, RefusesAnArchiveCutOffAtAnyByte) {
  const std::string whole = two().bytes();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(code_of([&] { read_all(whole.substr(0, size)); }), ErrorCode::archive) << size;
  }
}

TEST(ArchiveTest, SurvivesEveryFlippedBitAndRandomBytes) {
  const std::string whole = two().bytes();
  const auto survives = [](const std::string& bytes) {
    try {
      read_all(bytes);
    } catch (const LoadError&) {
    }
  };
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string bytes = whole;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    survives(bytes);
  }
  std::mt19937 random(3);
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = whole;
    for (int n = 0; n < 3; ++n) bytes[random() % bytes.size()] = static_cast<char>(random());
    survives(bytes);
  }
}

TEST(CrcTest, AgreesWithZlibAtEverySizeAndAlignment) {
  std::mt19937 random(5);
  std::string text(5000, '\0');
  for (char& c : text) c = static_cast<char>(random());
  for (std::size_t size = 0; size < 700; ++size) {
    for (const std::size_t at : {0, 1, 3, 7, 16, 31}) {
      const std::string_view part = std::string_view(text).substr(at, size);
      const auto expected =
          static_cast<std::uint32_t>(::crc32(0, reinterpret_cast<const Bytef*>(part.data()), static_cast<uInt>(size)));
      ASSERT_EQ(crc32(std::as_bytes(std::span(part))), expected) << size << " at " << at;
    }
  }
}

TEST(FileBytesTest, RefusesWhatIsNoRegularFile) {
  const auto refused = [](const std::string& path) { return code_of([&] { FileBytes{path}; }); };
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / ("lamella_archive_" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  EXPECT_EQ(refused(folder), ErrorCode::io);
  EXPECT_EQ(refused(folder / "absent"), ErrorCode::io);
  EXPECT_EQ(refused("/dev/zero"), ErrorCode::io);
  EXPECT_EQ(refused(std::string("a\0b", 3)), ErrorCode::io);
  EXPECT_EQ(refused(std::string(5000, 'p')), ErrorCode::io);
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_EQ(refused(folder / "fifo"), ErrorCode::io);
  std::ofstream(folder / "file") << "bytes";
  EXPECT_EQ(as_text(FileBytes((folder / "file").string()).bytes()), "bytes");
  std::ofstream(folder / "empty").flush();
  EXPECT_TRUE(FileBytes((folder / "empty").string()).bytes().empty());
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace lamella::keras
