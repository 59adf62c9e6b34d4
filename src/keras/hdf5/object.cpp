// SPDX-License-Identifier: Apache-2.0
#include "keras/hdf5/file.hpp"

#include <deque>

namespace lamella::keras::hdf5 {

namespace {

constexpr std::size_t kMaxMessages = 65536;
constexpr std::uint8_t kSharedMessage = 1U << 1U;
constexpr std::uint8_t kRefuseIfUnknown = 1U << 7U;

struct Block {
  std::uint64_t address;
  std::uint64_t size;
};

/// Reads messages from one block after another; continuations add blocks.
class HeaderReader {
 public:
  HeaderReader(const Image& image, std::uint64_t address, std::string_view place) : image_(image), place_(place) {
    object_.address = address;
  }

  Object read() {
    ByteReader head = image_.at(object_.address, "object header", place_);
    if (head.left() >= 4 && head.text(4) == "OHDR") {
      begin_new(head);
    } else {
      head.seek(0);
      begin_old(head);
    }
    while (!blocks_.empty()) {
      const Block block = blocks_.front();
      blocks_.pop_front();
      read_block(block);
    }
    return std::move(object_);
  }

 private:
  void begin_old(ByteReader& head) {
    const int version = head.u8();
    if (version != 1)
      fail(ErrorCode::hdf5, place_, "object header at address {}: version {}, allowed 1 and 2", object_.address, version);
    head.skip(7);
    const std::uint32_t size = head.u32();
    head.skip(4);
    add({object_.address + head.at(), size});
  }

  void begin_new(ByteReader& head) {
    is_new_ = true;
    const int version = head.u8();
    if (version != 2)
      fail(ErrorCode::hdf5, place_, "object header at address {}: version {}, expected 2", object_.address, version);
    const unsigned flags = head.u8();
    if ((flags & 0x20U) != 0) head.skip(16);  // times
    if ((flags & 0x10U) != 0) head.skip(4);   // when attributes move elsewhere
    creation_order_ = (flags & 0x04U) != 0;
    const std::uint64_t size = head.uint(std::size_t{1} << (flags & 3U));
    if (size > image_.size()) fail(ErrorCode::hdf5, place_, "object header of {} bytes, the file has {}", size, image_.size());
    image_.check_sum(object_.address, head.at() + size + 4, "object header", place_);
    add({object_.address + head.at(), size});
  }

  void add(Block block) {
    if (!seen_.insert(block.address).second)
      fail(ErrorCode::hdf5, place_, "object header: a continuation leads back to address {}", block.address);
    if (seen_.size() > kMaxMessages) fail(ErrorCode::limit, place_, "object header with more than {} parts", kMaxMessages);
    blocks_.push_back(block);
  }

  void continue_at(Bytes body) {
    ByteReader reader(body, ErrorCode::hdf5, place_, "continuation message");
    const std::uint64_t address = image_.address(reader);
    const std::uint64_t size = image_.length(reader);
    if (!is_new_) return add({address, size});
    static_cast<void>(image_.block(address, "OCHK", "object header continuation", place_));
    if (size < 8) fail(ErrorCode::hdf5, place_, "object header continuation of {} bytes", size);
    image_.check_sum(address, size, "object header continuation", place_);
    add({address + 4, size - 8});
  }

  void read_block(const Block& block) {
    ByteReader reader(image_.range(block.address, block.size, "object header", place_), ErrorCode::hdf5, place_,
                      "object header message");
    const std::size_t head = is_new_ ? (creation_order_ ? 6 : 4) : 8;
    while (reader.left() >= head) {
      Message message;
      message.type = is_new_ ? reader.u8() : reader.u16();
      const std::uint16_t size = reader.u16();
      message.flags = reader.u8();
      if (!is_new_) reader.skip(3);
      if (is_new_ && creation_order_) reader.skip(2);
      message.body = reader.bytes(size);
      take(message);
    }
    if (!is_new_ && reader.left() != 0)
      fail(ErrorCode::hdf5, place_, "object header: {} bytes are too few for a message", reader.left());
  }

  void take(const Message& message) {
    if (message.type == kNil) return;
    if (message.type == kContinuation) return continue_at(message.body);
    if (message.type > kLastKnownMessage && (message.flags & kRefuseIfUnknown) != 0) {
      fail(ErrorCode::unsupported, place_, "an unknown object header message of type {}, marked as required", message.type);
    }
    if (object_.messages.size() == kMaxMessages)
      fail(ErrorCode::limit, place_, "more than {} object header messages", kMaxMessages);
    image_.charge(sizeof(Message), place_);
    object_.messages.push_back(message);
  }

  const Image& image_;
  std::string_view place_;
  Object object_;
  std::deque<Block> blocks_;
  std::set<std::uint64_t> seen_;
  bool is_new_ = false;
  bool creation_order_ = false;
};

}  // namespace

const Message* Object::find(MessageType type) const noexcept {
  for (const Message& message : messages) {
    if (message.type == type) return &message;
  }
  return nullptr;
}

const Message& Object::need(MessageType type, std::string_view what, std::string_view place) const {
  const Message* message = find(type);
  if (message == nullptr) fail(ErrorCode::hdf5, place, "no {} message in the object header at address {}", what, address);
  if ((message->flags & kSharedMessage) != 0)
    fail(ErrorCode::unsupported, place, "a shared {} (a committed type or a shared message)", what);
  return *message;
}

Object read_object(const Image& image, std::uint64_t address, std::string_view place) {
  return HeaderReader(image, address, place).read();
}

}  // namespace lamella::keras::hdf5
