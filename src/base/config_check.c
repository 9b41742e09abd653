#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <herd/err.h>

#include "base/config_check.h"

enum { HOST_MAX_BYTES = 253, LABEL_MAX_BYTES = 63 }; /* RFC 1035, in text */

static const char not_an_address[] = "is no address: host:port, [v6]:port or name:port";

/* Addresses */

/* RFC 1123, and "_", which names of containers have; the last label of a name is not a number. */
static bool is_host_name(const char *host)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    if (strlen(host) > HOST_MAX_BYTES)
        return false;
    for (;;) {
        size_t len = strspn(host, allowed);
        if (len == 0 || len > LABEL_MAX_BYTES || host[0] == '-' || host[len - 1] == '-')
            return false;
        if (host[len] == '\0')
            return strspn(host, "0123456789") < len;
        if (host[len] != '.')
            return false;
        host += len + 1;
    }
}

static bool is_ip(int family, const char *host)
{
    struct in6_addr address; /* large enough for both */
    return inet_pton(family, host, &address) == 1;
}

/* 1 to 65535, in decimal; 0: it is none. */
static uint16_t parse_port(const char *text)
{
    enum { PORT_MAX = 65535, DIGITS_MAX = 5 };
    size_t len = strlen(text);
    if (len == 0 || len > DIGITS_MAX || strspn(text, "0123456789") != len)
        return 0;
    unsigned long port = strtoul(text, NULL, 10);
    return port <= PORT_MAX ? (uint16_t)port : 0;
}

const char *config_parse_address(const char *text, struct config_address *out)
{
    *out = (struct config_address){0};
    bool brackets = text[0] == '[';
    const char *host = text + brackets;
    const char *host_end = brackets ? strchr(host, ']') : strrchr(host, ':');
    const char *colon = host_end != NULL ? host_end + brackets : NULL;
    if (colon == NULL || *colon != ':')
        return not_an_address;
    if (!brackets && memchr(host, ':', (size_t)(host_end - host)) != NULL)
        return "needs brackets around an IPv6 address: [::1]:21401";
    uint16_t port = parse_port(colon + 1);
    if (port == 0)
        return "has no good port: 1 to 65535";
    char *copy = strndup(host, (size_t)(host_end - host));
    if (copy == NULL)
        return NULL;
    if (brackets ? !is_ip(AF_INET6, copy) : !is_ip(AF_INET, copy) && !is_host_name(copy)) {
        free(copy);
        return not_an_address;
    }
    *out = (struct config_address){.host = copy, .port = port};
    return NULL;
}

/* 127.0.0.0/8 (RFC 1122), ::1 (RFC 4291) and localhost (RFC 6761). */
static bool is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return strcasecmp(host, "localhost") == 0;
}

/* Whether who listens on both is in its own way: [::1] is [0::1], and localhost is 127.0.0.1. */
static bool is_same_host(const char *a, const char *b)
{
    struct in6_addr a6, b6;
    if (inet_pton(AF_INET6, a, &a6) == 1 && inet_pton(AF_INET6, b, &b6) == 1)
        return memcmp(&a6, &b6, sizeof a6) == 0;
    if (strcasecmp(a, "localhost") == 0)
        a = "127.0.0.1";
    if (strcasecmp(b, "localhost") == 0)
        b = "127.0.0.1";
    return strcasecmp(a, b) == 0;
}

/* Values */

static int line_of(const struct config_tree *tree, enum config_key key)
{
    return tree->values[key] != NULL ? tree->values[key]->line : 0;
}

/* The host and port behind a scheme: `host`, `host:port`, `[v6]`, `[v6]:port`. As
 * config_parse_address. */
static const char *parse_authority(const char *text, struct config_address *out)
{
    const char *host_end = text[0] == '[' ? strchr(text, ']') : text;
    bool has_port = host_end != NULL && strchr(host_end, ':') != NULL;
    char *with_port = NULL;
    if (asprintf(&with_port, "%s%s", text, has_port ? "" : ":443") < 0) {
        *out = (struct config_address){0};
        return NULL;
    }
    const char *problem = config_parse_address(with_port, out);
    free(with_port);
    return problem;
}

/* What is wrong with a base_url, or NULL. The provider's own paths follow it, so it has none. */
static const char *check_base_url(const char *url, struct config_mistakes *mistakes)
{
    static const char *const schemes[] = {"http://", "https://"};
    enum { HTTP };
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t len = strlen(schemes[i]);
        if (strncasecmp(url, schemes[i], len) != 0)
            continue;
        struct config_address address;
        if (parse_authority(url + len, &address) != NULL)
            break;
        bool in_clear = i == HTTP && address.host != NULL && !is_loopback(address.host);
        mistakes->out_of_memory |= address.host == NULL;
        free(address.host);
        return in_clear ? "would show the API key to the network: http is for this machine alone "
                          "(localhost, 127.0.0.1, [::1]), https for all others"
                        : NULL;
    }
    return "is not http:// or https:// with a host, a port if need be, and nothing behind";
}

/* Letters, digits and minus signs; which tags there are the provider knows. */
static bool is_language(const char *text)
{
    for (; *text != '\0'; text++)
        if (!isascii((unsigned char)*text) || (!isalnum((unsigned char)*text) && *text != '-'))
            return false;
    return true;
}

const char config_field_mask_form[] = "should be fields of Google's with commas between, "
                                      "places.displayName and places.location among them";

static bool has_field(const char *mask, const char *field)
{
    size_t len = strlen(field);
    for (const char *at = mask; (at = strstr(at, field)) != NULL; at += len) {
        if (at[len] == ',' || at[len] == '.' || at[len] == '\0')
            return true;
    }
    return false;
}

static bool are_fields(const char *mask)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.";
    static const char prefix[] = "places.";
    for (;; mask++) {
        size_t len = strspn(mask, letters);
        if (strncmp(mask, prefix, sizeof prefix - 1) != 0 || len < sizeof prefix)
            return false;
        mask += len;
        if (*mask != ',')
            return *mask == '\0';
    }
}

bool config_is_field_mask(const char *mask)
{
    return are_fields(mask) && has_field(mask, "places.displayName") &&
           has_field(mask, "places.location");
}

/* Two keys of section places of which the first must not be above the second; the line is that of
 * the one that is given last. */
struct ordered {
    enum config_key low_key, high_key;
    const char *low_name, *high_name;
    int64_t low, high;
    bool only_if_given; /* the first one */
    const char *why;
};

static void check_times(const struct config_values *values, const struct config_tree *tree,
                        struct config_mistakes *mistakes)
{
    const struct ordered rows[] = {
        {CONFIG_KEY_places_retry_min_ms, CONFIG_KEY_places_retry_max_ms, "retry_min_ms",
         "retry_max_ms", values->places_retry_min_ms, values->places_retry_max_ms, false,
         "no call would ever be made again"},
        /* Its default is just cut by a shorter total. */
        {CONFIG_KEY_places_connect_timeout_ms, CONFIG_KEY_places_total_timeout_ms,
         "connect_timeout_ms", "total_timeout_ms", values->places_connect_timeout_ms,
         values->places_total_timeout_ms, true, "every call ends before"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct ordered *row = &rows[i];
        int low_line = line_of(tree, row->low_key), high_line = line_of(tree, row->high_key);
        if (row->low <= row->high || (row->only_if_given && tree->values[row->low_key] == NULL))
            continue;
        config_mistake(mistakes, low_line > high_line ? low_line : high_line,
                       "places: %s (%" PRId64 ") is above %s (%" PRId64 "): %s", row->low_name,
                       row->low, row->high_name, row->high, row->why);
    }
}

void config_check_values(const struct config_values *values, const struct config_tree *tree,
                         struct config_mistakes *mistakes)
{
    const char *url = values->places_base_url, *language = values->places_language;
    const char *mask = values->places_field_mask;
    const char *problem = url[0] != '\0' ? check_base_url(url, mistakes) : NULL;
    if (strcmp(values->security, "tls") == 0)
        config_mistake(mistakes, line_of(tree, CONFIG_KEY_security),
                       "security: \"tls\" is not supported by this version: only \"open\" is");
    if (problem != NULL)
        config_mistake(mistakes, line_of(tree, CONFIG_KEY_places_base_url),
                       "places.base_url: \"%s\" %s", config_show(url, strlen(url)).text, problem);
    if (!is_language(language))
        config_mistake(mistakes, line_of(tree, CONFIG_KEY_places_language),
                       "places.language: \"%s\" is no BCP 47 tag such as en or pt-BR",
                       config_show(language, strlen(language)).text);
    if (mask[0] != '\0' && !config_is_field_mask(mask))
        config_mistake(mistakes, line_of(tree, CONFIG_KEY_places_field_mask),
                       "places.field_mask: \"%s\" %s", config_show(mask, strlen(mask)).text,
                       config_field_mask_form);
    check_times(values, tree, mistakes);
}

/* Servers */

static void check_listen(struct config *config, size_t index, const struct config_given *listen,
                         struct config_mistakes *mistakes)
{
    struct config_server *server = &config->servers[index];
    if (listen == NULL) {
        config_mistake(mistakes, server->line, "server %s: listen is missing: %s", server->name,
                       "listen = \"127.0.0.1:21401\", for example");
        return;
    }
    struct config_shown shown = config_show(listen->text, strlen(listen->text));
    const char *problem = config_parse_address(listen->text, &server->listen);
    if (problem != NULL) {
        config_mistake(mistakes, listen->line, "server %s: listen: \"%s\" %s", server->name,
                       shown.text, problem);
        return;
    }
    if (server->listen.host == NULL) {
        mistakes->out_of_memory = true;
        return;
    }
    if (strcmp(config->values.security, "open") == 0 && !is_loopback(server->listen.host))
        config_mistake(mistakes, listen->line,
                       "server %s: listen: \"%s\" is not on loopback, and security = \"open\" lets "
                       "everybody in: use 127.0.0.1, [::1] or localhost",
                       server->name, shown.text);
    for (size_t i = 0; i < index; i++) {
        const struct config_server *other = &config->servers[i];
        if (other->listen.port != server->listen.port ||
            !is_same_host(other->listen.host, server->listen.host))
            continue;
        config_mistake(mistakes, listen->line,
                       "server %s: listen: \"%s\" is where server %s of line %d listens",
                       server->name, shown.text, other->name, other->line);
        return;
    }
}

static void report_unknown_peer(const struct config *config, const struct config_server *server,
                                const struct config_given *peer, struct config_mistakes *mistakes)
{
    struct config_nearest nearest = {.name = herd_slice_of(peer->text)};
    for (size_t i = 0; i < config->server_count; i++)
        if (&config->servers[i] != server)
            config_nearest_try(&nearest, herd_slice_of(config->servers[i].name));
    config_mistake(mistakes, peer->line, "server %s: peer \"%s\" is no server of this file%s",
                   server->name, config_show(peer->text, nearest.name.len).text,
                   config_nearest_hint(&nearest).text);
}

static bool has_peer(const struct config_server *server, size_t index)
{
    for (size_t i = 0; i < server->peer_count; i++)
        if (server->peers[i] == index)
            return true;
    return false;
}

/* Puts the peers that are good into the server. */
static void take_peers(struct config *config, size_t index, const struct config_given_server *given,
                       bool complete, struct config_mistakes *mistakes)
{
    struct config_server *server = &config->servers[index];
    for (size_t i = 0; i < given->peer_count && i < CONFIG_PEERS_MAX; i++) {
        const struct config_given *peer = given->peers[i];
        const struct config_server *found = config_find(config, peer->text);
        size_t found_index = found != NULL ? (size_t)(found - config->servers) : 0;
        if (found == NULL && complete)
            report_unknown_peer(config, server, peer, mistakes);
        else if (found == server)
            config_mistake(mistakes, peer->line, "server %s names itself as a peer", server->name);
        else if (found != NULL && has_peer(server, found_index))
            config_mistake(mistakes, peer->line, "server %s names %s as a peer twice", server->name,
                           found->name);
        else if (found != NULL)
            server->peers[server->peer_count++] = found_index;
    }
}

static int line_of_peer(const struct config_given_server *given, const char *name)
{
    for (size_t i = 0; i < given->peer_count; i++)
        if (strcmp(given->peers[i]->text, name) == 0)
            return given->peers[i]->line;
    return given->line;
}

static void check_edges(const struct config *config, size_t index,
                        const struct config_given_server *given, struct config_mistakes *mistakes)
{
    const struct config_server *server = &config->servers[index];
    for (size_t i = 0; i < server->peer_count; i++) {
        const struct config_server *peer = &config->servers[server->peers[i]];
        if (!has_peer(peer, index))
            config_mistake(mistakes, line_of_peer(given, peer->name),
                           "server %s names %s as a peer, but %s (line %d) does not name %s",
                           server->name, peer->name, peer->name, peer->line, server->name);
    }
}

static bool make_server(struct config_server *server, const struct config_given_server *given)
{
    server->line = given->line;
    server->name = strdup(given->name);
    server->peers = calloc(CONFIG_PEERS_MAX, sizeof *server->peers);
    return server->name != NULL && server->peers != NULL;
}

/* An answer that can never be given is a mistake, not something to wait for. */
static void check_durability(const struct config *config, struct config_mistakes *mistakes)
{
    const char *durability = config->values.durability;
    if (strcmp(durability, "commit") == 0 && config->values.data_dir[0] == '\0')
        config_mistake(mistakes, 0, "durability = \"commit\" needs a data_dir");
    for (size_t i = 0; i < config->server_count && strcmp(durability, "herd") == 0; i++)
        if (config->servers[i].peer_count == 0)
            config_mistake(mistakes, config->servers[i].line,
                           "server %s has no peers, so with durability = \"herd\" no IAMAT would "
                           "ever be answered",
                           config->servers[i].name);
}

void config_check_servers(struct config *config, const struct config_tree *tree, bool complete,
                          struct config_mistakes *mistakes)
{
    config->servers = calloc(tree->server_count + 1, sizeof *config->servers);
    if (config->servers == NULL) {
        mistakes->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < tree->server_count; i++) {
        config->server_count++;
        if (!make_server(&config->servers[i], &tree->servers[i])) {
            mistakes->out_of_memory = true;
            return;
        }
    }
    for (size_t i = 0; i < tree->server_count; i++) {
        const struct config_given_server *given = &tree->servers[i];
        check_listen(config, i, given->listen, mistakes);
        take_peers(config, i, given, complete, mistakes);
        if (given->peer_count <= CONFIG_PEERS_MAX)
            continue;
        config_mistake(mistakes, given->peers[CONFIG_PEERS_MAX]->line,
                       "server %s: more than %d peers", given->name, CONFIG_PEERS_MAX);
        complete = false;
    }
    for (size_t i = 0; i < tree->server_count && complete; i++)
        check_edges(config, i, &tree->servers[i], mistakes);
    if (complete)
        check_durability(config, mistakes);
    if (config->server_count == 0 && complete)
        config_mistake(mistakes, 0, "no servers: at least one is needed: %s",
                       "server NAME { listen = \"127.0.0.1:21401\" }");
}
