using Librarian.Client;
using Librarian.Domain.Peers;

namespace Librarian.Orchestrations.Peers;

/// <summary>A neighbour that can be called now.</summary>
/// <param name="Login">Who it is and who we are there.</param>
/// <param name="Client">Calls it.</param>
public sealed record Peer(PeerLogin Login, LibrarianClient Client);

/// <summary>Calls to neighbours: one pool of connections for the process, a bounded wait for each answer.</summary>
public sealed class PeerConnections(PeerDirectory directory) : IDisposable
{
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromMinutes(5);
    private readonly HttpClient _http = new(LibrarianClient.CreateHandler()) { Timeout = Timeout.InfiniteTimeSpan };

    /// <summary>The neighbour, or null when it is not registered or its registration is unusable.</summary>
    public async Task<Peer?> FindAsync(string name, CancellationToken cancellationToken)
    {
        if (await directory.FindAsync(name, cancellationToken) is not { } login) return null;
        return For(login);
    }

    /// <summary>A connection with given credentials; null when its address cannot be used.</summary>
    /// <param name="login">Who and where.</param>
    /// <param name="answerTimeout">Longest wait for an answer; five minutes if not given.</param>
    public Peer? For(PeerLogin login, TimeSpan? answerTimeout = null)
    {
        ArgumentNullException.ThrowIfNull(login);
        return SiteConnection.TryCreate(login.Url, login.Port, login.User, login.Password, out var connection, out _)
            ? new Peer(login, new LibrarianClient(connection, _http, answerTimeout ?? AnswerTimeout))
            : null;
    }

    /// <inheritdoc />
    public void Dispose() => _http.Dispose();
}
