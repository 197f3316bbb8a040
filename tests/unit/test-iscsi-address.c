/*
 * iSCSI addresses: what they say, and that no password is shown.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <string.h>

#include "iscsi-address.h"

static void masked(const char *uri, const char *expected)
{
    char *text = ft_iscsi_mask(uri);

    g_assert_cmpstr(text, ==, expected);
    g_assert_cmpint(ft_iscsi_has_password(uri), ==, strcmp(uri, expected) != 0);
    g_free(text);
}

static void test_mask(void)
{
    masked("iscsi://host/iqn.x/1", "iscsi://host/iqn.x/1");
    masked("iscsi://user@host/iqn.x/1", "iscsi://user@host/iqn.x/1");
    masked("iscsi://user%pass@host/iqn.x/1", "iscsi://user%***@host/iqn.x/1");
    masked("iscsi://user%p@ss@host/iqn.x/1", "iscsi://user%***@host/iqn.x/1");
    masked("iscsi://user%p/a,b?s@host/i/1", "iscsi://user%***@host/i/1");
    masked("iscsi://u%p@h/i/1?target_user=t&target_password=q&x=y",
           "iscsi://u%***@h/i/1?target_user=t&target_password=***&x=y");
    masked("primary,lease=iscsi://u%p@h/i/1,node=a",
           "primary,lease=iscsi://u%***@h/i/1,node=a");
    masked("iscsi://u%p@h/i/1 iscsi://v%q@h/i/2",
           "iscsi://u%***@h/i/1 iscsi://v%***@h/i/2");
    masked("dir:/a%b@c", "dir:/a%b@c");
}

static void test_parts(void)
{
    FtIscsiLogin login = { .user = "other", .password = "word" };
    char *why = NULL;
    FtIscsiAddress *a;

    a = ft_iscsi_address_new("iscsi://u%p@h:1234/iqn.x:y/7", NULL, &why);
    g_assert_nonnull(a);
    g_assert_cmpstr(a->portal, ==, "h:1234");
    g_assert_cmpstr(a->target, ==, "iqn.x:y");
    g_assert_cmpint(a->lun, ==, 7);
    g_assert_cmpstr(a->user, ==, "u");
    g_assert_cmpstr(a->password, ==, "p");
    g_assert_cmpstr(a->initiator, ==, FT_ISCSI_INITIATOR);
    ft_iscsi_address_free(a);
    a = ft_iscsi_address_new("iscsi://h/iqn.x:y/0", &login, &why);
    g_assert_cmpstr(a->user, ==, "other");
    g_assert_cmpstr(a->password, ==, "word");
    g_assert_cmpstr(a->target_user, ==, "");
    ft_iscsi_address_free(a);
}

static void refused(const char *uri, const FtIscsiLogin *login,
                    const char *advice)
{
    char *why = NULL;

    g_assert_null(ft_iscsi_address_new(uri, login, &why));
    g_assert_nonnull(strstr(why, advice));
    g_assert_null(strstr(why, "hidden"));
    g_free(why);
}

static void test_refused(void)
{
    FtIscsiLogin no_user = { .password = "hidden" };
    FtIscsiLogin no_password = { .user = "u" };
    FtIscsiLogin only_target = { .target_user = "t",
                                 .target_password = "hidden" };
    FtIscsiLogin half_target = { .user = "u", .password = "hidden",
                                 .target_user = "t" };

    refused("iscsi://h", NULL, "iscsi://HOST[:PORT]/IQN/LUN");
    refused("iscsi://h/iqn.x", NULL, "iscsi://HOST[:PORT]/IQN/LUN");
    refused("iscsi://u%hidden@h/iqn.x", NULL, "iscsi://HOST[:PORT]/IQN/LUN");
    refused("iscsi://h/iqn.x/0", &no_user, "no user");
    refused("iscsi://h/iqn.x/0", &no_password, "no password");
    refused("iscsi://h/iqn.x/0", &only_target, "not this machine");
    refused("iscsi://h/iqn.x/0", &half_target, "no password of it");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/iscsi-address/mask", test_mask);
    g_test_add_func("/iscsi-address/parts", test_parts);
    g_test_add_func("/iscsi-address/refused", test_refused);
    return g_test_run();
}
