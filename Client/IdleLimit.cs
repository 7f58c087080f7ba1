namespace Librarian.Client;

/// <summary>Ends a call that makes no progress.</summary>
internal sealed class IdleLimit(CancellationToken cancellationToken) : IDisposable
{
    private readonly CancellationTokenSource _source = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);

    internal CancellationToken Token => _source.Token;

    public void Dispose() => _source.Dispose();

    /// <summary>Gives the call this much time until the next progress.</summary>
    internal void Allow(TimeSpan time) => _source.CancelAfter(time);
}
