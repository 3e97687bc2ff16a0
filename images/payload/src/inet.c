#include "inet.h"

#include "clock.h"
#include "cmdline.h"
#include "x86.h"

enum { ARP_ATTEMPTS = 300, ARP_TIMEOUT_US = 200000 };
enum { LINK_LOCAL_DEFAULT = 0xa9fe5656 /* 169.254.86.86 */ };

/* All fields are in network byte order. */
struct ethernet {
  uint8_t destination[MAC_LENGTH], source[MAC_LENGTH];
  uint16_t type;
} __attribute__((packed));
enum { ETHERTYPE_IPV4 = 0x0800, ETHERTYPE_ARP = 0x0806, ETHERNET_MINIMUM = 60 };

/* RFC 826 */
struct arp {
  uint16_t hardware_type, protocol_type;
  uint8_t hardware_length, protocol_length;
  uint16_t operation;
  uint8_t sender_mac[MAC_LENGTH];
  uint32_t sender;
  uint8_t target_mac[MAC_LENGTH];
  uint32_t target;
} __attribute__((packed));
enum { ARP_ETHERNET = 1, ARP_REQUEST = 1, ARP_REPLY = 2, IPV4_LENGTH = 4 };

/* RFC 791 */
struct ipv4 {
  uint8_t version_and_length, service;
  uint16_t total_length, identification, fragment;
  uint8_t time_to_live, protocol;
  uint16_t checksum;
  uint32_t source, destination;
} __attribute__((packed));
enum { IPV4_VERSION_5_WORDS = 0x45, PROTOCOL_ICMP = 1, TIME_TO_LIVE = 64 };

/* RFC 792 */
struct echo {
  uint8_t type, code;
  uint16_t checksum, identifier, sequence;
} __attribute__((packed));
enum { ICMP_ECHO_REPLY = 0, ICMP_ECHO_REQUEST = 8, ECHO_IDENTIFIER = 0x7669 /* "vi" */ };

struct arp_frame {
  struct ethernet ethernet;
  struct arp arp;
} __attribute__((packed));

struct echo_frame {
  struct ethernet ethernet;
  struct ipv4 ip;
  struct echo echo;
  uint8_t payload[];
} __attribute__((packed));

static const uint8_t broadcast[MAC_LENGTH] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* RFC 1071, over bytes in network order; the result is ready to be stored. */
static uint16_t internet_checksum(const void *data, uint32_t length) {
  const uint8_t *bytes = data;
  uint32_t sum = 0;
  for (uint32_t i = 0; i + 1 < length; i += 2) sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
  if (length % 2) sum += (uint32_t)(bytes[length - 1] << 8);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return swap16((uint16_t)~sum);
}

static void send_frame(struct inet *inet, void *frame, uint32_t length) {
  struct ethernet *ethernet = frame;
  memcpy(ethernet->source, inet->net->mac, MAC_LENGTH);
  net_send(inet->net, frame, length < ETHERNET_MINIMUM ? ETHERNET_MINIMUM : length);
}

static void send_arp(struct inet *inet, uint16_t operation, const uint8_t *to, uint32_t target) {
  uint8_t space[ETHERNET_MINIMUM] = {0};
  struct arp_frame *frame = (void *)space;
  memcpy(frame->ethernet.destination, to, MAC_LENGTH);
  frame->ethernet.type = swap16(ETHERTYPE_ARP);
  frame->arp.hardware_type = swap16(ARP_ETHERNET);
  frame->arp.protocol_type = swap16(ETHERTYPE_IPV4);
  frame->arp.hardware_length = MAC_LENGTH;
  frame->arp.protocol_length = IPV4_LENGTH;
  frame->arp.operation = swap16(operation);
  memcpy(frame->arp.sender_mac, inet->net->mac, MAC_LENGTH);
  frame->arp.sender = swap32(inet->address);
  if (operation == ARP_REPLY) memcpy(frame->arp.target_mac, to, MAC_LENGTH);
  frame->arp.target = swap32(target);
  send_frame(inet, frame, sizeof *frame);
}

void inet_send_arp_request(struct inet *inet, uint32_t target) {
  send_arp(inet, ARP_REQUEST, broadcast, target);
}

static void send_echo(struct inet *inet, uint16_t sequence, uint32_t payload) {
  uint8_t space[NET_BUFFER_SIZE] = {0};
  struct echo_frame *frame = (void *)space;
  uint32_t icmp_length = sizeof frame->echo + payload;
  memcpy(frame->ethernet.destination, inet->peer_mac, MAC_LENGTH);
  frame->ethernet.type = swap16(ETHERTYPE_IPV4);
  frame->ip.version_and_length = IPV4_VERSION_5_WORDS;
  frame->ip.total_length = swap16((uint16_t)(sizeof frame->ip + icmp_length));
  frame->ip.time_to_live = TIME_TO_LIVE;
  frame->ip.protocol = PROTOCOL_ICMP;
  frame->ip.source = swap32(inet->address);
  frame->ip.destination = swap32(inet->peer);
  frame->ip.checksum = internet_checksum(&frame->ip, sizeof frame->ip);
  frame->echo.type = ICMP_ECHO_REQUEST;
  frame->echo.identifier = swap16(ECHO_IDENTIFIER);
  frame->echo.sequence = swap16(sequence);
  for (uint32_t i = 0; i < payload; i++) frame->payload[i] = (uint8_t)(i + sequence);
  frame->echo.checksum = internet_checksum(&frame->echo, icmp_length);
  send_frame(inet, frame, (uint32_t)sizeof *frame + payload);
}

static void handle_arp(struct inet *inet, const struct arp_frame *frame, uint32_t length) {
  const struct arp *arp = &frame->arp;
  if (length < sizeof *frame || swap32(arp->target) != inet->address) return;
  if (arp->operation == swap16(ARP_REPLY) && swap32(arp->sender) == inet->peer) {
    memcpy(inet->peer_mac, arp->sender_mac, MAC_LENGTH);
    inet->peer_known = true;
  } else if (arp->operation == swap16(ARP_REQUEST)) {
    inet->requests_answered++;
    send_arp(inet, ARP_REPLY, arp->sender_mac, swap32(arp->sender));
  }
}

/* The request becomes the reply in place: addresses swap, which no checksum minds. */
static void answer_echo(struct inet *inet, struct echo_frame *frame, uint32_t icmp_length) {
  memcpy(frame->ethernet.destination, frame->ethernet.source, MAC_LENGTH);
  frame->ip.destination = frame->ip.source;
  frame->ip.source = swap32(inet->address);
  frame->echo.type = ICMP_ECHO_REPLY;
  frame->echo.checksum = 0;
  frame->echo.checksum = internet_checksum(&frame->echo, icmp_length);
  inet->requests_answered++;
  send_frame(inet, frame, (uint32_t)(sizeof *frame - sizeof frame->echo) + icmp_length);
}

static void handle_ipv4(struct inet *inet, struct echo_frame *frame, uint32_t length) {
  if (length < sizeof *frame || frame->ip.version_and_length != IPV4_VERSION_5_WORDS ||
      frame->ip.protocol != PROTOCOL_ICMP || swap32(frame->ip.destination) != inet->address) {
    return;
  }
  uint32_t total = swap16(frame->ip.total_length);
  if (total < sizeof frame->ip + sizeof frame->echo || total > length - sizeof frame->ethernet) {
    return;
  }
  uint32_t icmp_length = total - (uint32_t)sizeof frame->ip;
  if (internet_checksum(&frame->ip, sizeof frame->ip) != 0 ||
      internet_checksum(&frame->echo, icmp_length) != 0) {
    return;
  }
  if (frame->echo.type == ICMP_ECHO_REQUEST) {
    answer_echo(inet, frame, icmp_length);
  } else if (frame->echo.type == ICMP_ECHO_REPLY &&
             frame->echo.identifier == swap16(ECHO_IDENTIFIER)) {
    inet->echo_reply = swap16(frame->echo.sequence);
  }
}

void inet_poll(struct inet *inet) {
  struct net_frame frame;
  while (net_receive(inet->net, &frame)) {
    const struct ethernet *ethernet = (const void *)frame.data;
    if (frame.length >= sizeof *ethernet) {
      if (ethernet->type == swap16(ETHERTYPE_ARP)) {
        handle_arp(inet, (const void *)frame.data, frame.length);
      } else if (ethernet->type == swap16(ETHERTYPE_IPV4)) {
        handle_ipv4(inet, (void *)frame.data, frame.length);
      }
    }
    net_release(inet->net, &frame);
  }
}

void inet_configure(struct inet *inet, struct net *net) {
  const char *ip = cmdline_value("ip", net->number), *peer = cmdline_value("peer", net->number);
  *inet = (struct inet){.net = net};
  if (peer) inet->peer = parse_ipv4(peer);
  if (ip) inet->address = parse_ipv4(ip);
  if (!inet->address) inet->address = inet->peer ? inet->peer ^ 1 : LINK_LOCAL_DEFAULT;
}

bool inet_resolve_peer(struct inet *inet) {
  for (unsigned attempt = 0; attempt < ARP_ATTEMPTS && !inet->peer_known; attempt++) {
    uint64_t deadline = clock_deadline(ARP_TIMEOUT_US);
    inet_send_arp_request(inet, inet->peer);
    while (!inet->peer_known && net_wait(inet->net, deadline)) inet_poll(inet);
  }
  return inet->peer_known;
}

uint64_t inet_ping(struct inet *inet, uint16_t sequence, uint32_t payload, uint64_t timeout_us) {
  uint64_t deadline = clock_deadline(timeout_us), start = read_tsc();
  send_echo(inet, sequence, payload);
  while (inet->echo_reply != sequence && net_wait(inet->net, deadline)) inet_poll(inet);
  return inet->echo_reply == sequence ? read_tsc() - start : 0;
}
