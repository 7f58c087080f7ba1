using System.Globalization;
using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Domain.Accounts;
using Librarian.Domain.Configuration;
using Librarian.Domain.Peers;
using Microsoft.Extensions.Options;

namespace Librarian.Orchestrations.Peers;

/// <summary>Why a registration cannot work.</summary>
public enum PeerFault
{
    /// <summary>The registration works.</summary>
    None,

    /// <summary>No librarian answers at the address.</summary>
    Silent,

    /// <summary>This site itself answers at the address.</summary>
    Self,

    /// <summary>Another librarian answers at the address.</summary>
    OtherName,

    /// <summary>The peer does not accept this site's credentials.</summary>
    Credentials,
}

/// <summary>Result of a check.</summary>
/// <param name="Fault">Why the registration cannot work.</param>
/// <param name="Detail">The fault for people: what was seen, and what to do.</param>
/// <param name="Problems">What does not work although the peer answers and accepts the account, each with what to do.</param>
public sealed record PeerFinding(PeerFault Fault, string Detail, IReadOnlyList<string> Problems)
{
    /// <summary>Whether the peer answers under its name and accepts the account.</summary>
    public bool IsGood => Fault == PeerFault.None;
}

/// <summary>
/// Checks whether a registration can work: who answers at the address, whether this site's account may log in there, and whether the
/// accounts and settings of both sites suffice to send files, call back and replace corrupt copies
/// (docs/spec/wire.md#level-of-each-endpoint, docs/spec/wire.md#identity).
/// </summary>
public sealed class PeerCheck(PeerConnections connections, AccountDirectory accounts, IOptions<SiteOptions> options)
{
    private const int LongestQuote = 200;
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(10);

    private string Self => options.Value.Name;

    /// <summary>Makes at most four calls of ten seconds each.</summary>
    public async Task<PeerFinding> CheckAsync(PeerLogin login, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(login);
        // The ping needs no account, so a stranger at a wrong address does not get the password.
        if (
            connections.For(login with { User = "ping", Password = "ping" }, AnswerTimeout, isRegistered: false) is not { } stranger
            || connections.For(login, AnswerTimeout, isRegistered: false) is not { } peer
        )
            return Faulty(PeerFault.Silent, $"The address {login.Url} with port {login.Port} cannot be used.");
        var ping = await stranger.Client.PingAsync(cancellationToken);
        if (!ping.IsSuccess)
            return Faulty(PeerFault.Silent, Quote(ping.Error.ToString()!));
        var actual = ping.Value.LibrarianName;
        if (actual == Self)
            return Faulty(PeerFault.Self, $"'{Self}' itself answers at {peer.Client.Connection.BaseAddress}.");
        if (actual is not null && actual != login.Name)
            return Faulty(PeerFault.OtherName, $"'{Quote(actual)}' answers at {peer.Client.Connection.BaseAddress}.");
        var logged = await peer.Client.PingLoggedAsync(cancellationToken);
        if (logged.Error is Refused { Status: 401 or 403 })
            return Faulty(
                PeerFault.Credentials,
                $"Account '{login.User}' may not log in at '{login.Name}': its name or password is wrong, or its level is NONE."
            );
        if (!logged.IsSuccess)
            return Faulty(PeerFault.Silent, Quote(logged.Error.ToString()!));
        var problems = new List<string>();
        if (actual is null && !string.Equals(ping.Value.Name, login.Name, StringComparison.OrdinalIgnoreCase))
            problems.Add(
                $"'{login.Name}' does not tell other librarians its name (a Python Librarian does not); "
                    + $"it shows itself as '{Quote(ping.Value.Name)}'. Make sure that the name in its configuration is '{login.Name}'."
            );
        problems.AddRange(TheirProblems(login, await LevelAsync(peer.Client, cancellationToken)));
        problems.AddRange(await OwnProblemsAsync(login.Name, cancellationToken));
        return new PeerFinding(PeerFault.None, "", problems);
    }

    /// <summary>
    /// The level of this site's account at a peer, if harmless calls show it (docs/spec/wire.md#level-of-each-endpoint); otherwise null.
    /// </summary>
    /// <returns>READONLY, CALLBACK or READAPPEND; READAPPEND stands for higher levels as well.</returns>
    public static async Task<AuthLevel?> LevelAsync(LibrarianClient client, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(client);
        // No transfer has this id.
        var append = await client.ReportCloneOngoingAsync(new TransferPair(-1, -1), cancellationToken);
        if (append.Error is Refused { Status: 404 or 406 })
            return AuthLevel.ReadAppend;
        if (append.Error is not Refused { Status: 401 or 403 })
            return null;
        var callback = await client.GetCheckinStatusAsync(new CheckinStatusRequest([], []), cancellationToken);
        return callback switch
        {
            { IsSuccess: true } => AuthLevel.Callback,
            { Error: Refused { Status: 401 or 403 } } => AuthLevel.ReadOnly,
            _ => null,
        };
    }

    /// <summary>Why a peer cannot send this site a replacement, if this site is the reason; null if it is not.</summary>
    public async Task<string?> WhyNotReceiveAsync(string peer, CancellationToken cancellationToken) =>
        await accounts.FindAsync(peer, cancellationToken) switch
        {
            null => $"'{peer}' has no account at '{Self}'. "
                + $"Make one: librarian create-user {Connection(Self)} --username {peer} --password … --auth-level READAPPEND, "
                + $"and give '{peer}' its password with add-librarian there.",
            < AuthLevel.ReadAppend and var level =>
                $"the account '{peer}' at '{Self}' has level {Name(level)}, and whoever sends files needs READAPPEND. "
                    + $"Run: librarian update-user {Connection(Self)} --username {peer} --auth-level READAPPEND",
            _ => null,
        };

    /// <summary>Why this site cannot copy a file to a peer, if its settings are the reason; null if they are not.</summary>
    public string? WhyNotSend(string peer)
    {
        var index = options.Value.Peers.FindIndex(p => p.Name == peer);
        if (index >= 0 && options.Value.Peers[index].LocalRoots.Count > 0)
            return null;
        var at = (index >= 0 ? index : options.Value.Peers.Count).ToString(CultureInfo.InvariantCulture);
        var named = index >= 0 ? "" : $"Site__Peers__{at}__Name={peer} and ";
        return $"'{Self}' knows no directory of '{peer}' to copy files to. "
            + $"Set at '{Self}': {named}Site__Peers__{at}__LocalRoots__0=<staging directory of '{peer}' as '{Self}' sees it>, "
            + "and start it again.";
    }

    private IEnumerable<string> TheirProblems(PeerLogin login, AuthLevel? level)
    {
        var raise = $"Run: librarian update-user {Connection(login.Name)} --username {login.User} --auth-level READAPPEND";
        if (login.User != Self)
            yield return $"'{login.Name}' takes calls of account '{login.User}' for those of a site '{login.User}': "
                + $"callbacks and replacements need an account named '{Self}' there. "
                + $"Run: librarian create-user {Connection(login.Name)} --username {Self} --password … --auth-level READAPPEND, "
                + "then this command again.";
        if (level == AuthLevel.ReadOnly)
            yield return $"Our account '{login.User}' at '{login.Name}' has level READONLY: nothing can be sent there, "
                + $"and it cannot be notified of what has arrived from it. {raise}";
        if (level == AuthLevel.Callback)
        {
            yield return options.Value.Peers.Exists(p => p.Name == login.Name && p.Send)
                ? $"Our account '{login.User}' at '{login.Name}' has level CALLBACK: nothing can be sent there. {raise}"
                : $"Our account '{login.User}' at '{login.Name}' has level CALLBACK: "
                    + $"a bad copy there cannot be replaced from here. {raise}";
        }
    }

    private async Task<List<string>> OwnProblemsAsync(string peer, CancellationToken cancellationToken)
    {
        var problems = new List<string>();
        if (await WhyNotReceiveAsync(peer, cancellationToken) is { } receive)
            problems.Add($"A bad copy here cannot be replaced from '{peer}': {receive}");
        if (WhyNotSend(peer) is { } send)
            problems.Add($"Nothing can be sent to '{peer}', and a bad copy there cannot be replaced from here: {send}");
        return problems;
    }

    private static PeerFinding Faulty(PeerFault fault, string detail) => new(fault, detail, []);

    /// <summary>Users choose the names of their connections; the site's name in capitals stands for them, as in README.md.</summary>
    private static string Connection(string site) => site.ToUpperInvariant();

    private static string Name(AuthLevel level) => level.ToString().ToUpperInvariant();

    /// <summary>Shortens another program's text and puts it on one line.</summary>
    private static string Quote(string text)
    {
        var line = string.Concat(text.Select(c => char.IsControl(c) ? ' ' : c));
        return line.Length <= LongestQuote ? line : line[..LongestQuote] + "…";
    }
}
