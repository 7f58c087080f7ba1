using System.Collections.Concurrent;

namespace Librarian.Domain.DataBatches;

/// <summary>
/// Gives one call at a time its turn at a segment. A new call ends the running one: its sender counts as gone, and would otherwise hold the
/// segment until the network notices (tus-resumable-upload-protocol#115).
/// </summary>
internal sealed class SegmentTurns
{
    private readonly ConcurrentDictionary<int, Turns> _segments = new();

    /// <summary>Ends the running call and waits until it has left.</summary>
    internal async Task<Turn> EnterAsync(int segment, CancellationToken cancellationToken)
    {
        var turns = _segments.GetOrAdd(segment, static _ => new Turns());
        var number = Interlocked.Increment(ref turns.Newest);
        turns.Running?.EndByNext();
        await turns.Gate.WaitAsync(cancellationToken);
        var turn = turns.Running = new Turn(turns, cancellationToken);
        // A newer call came while this one waited.
        if (Volatile.Read(ref turns.Newest) != number)
            turn.EndByNext();
        return turn;
    }

    /// <summary>Forgets a segment that is complete: nothing writes to it any more.</summary>
    internal void Forget(int segment) => _segments.TryRemove(segment, out _);

    /// <summary>A call that has its turn.</summary>
    internal sealed class Turn : IDisposable
    {
        private readonly Turns _turns;
        private readonly CancellationTokenSource _ended;
        private readonly Lock _lock = new();
        private bool _left;

        internal Turn(Turns turns, CancellationToken cancellationToken)
        {
            _turns = turns;
            _ended = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        }

        /// <summary>Cancelled when the sender is gone or a new call comes.</summary>
        internal CancellationToken Ended => _ended.Token;

        public void Dispose()
        {
            lock (_lock)
            {
                if (_left)
                    return;
                _left = true;
                _ended.Dispose();
            }

            _turns.Running = null;
            _turns.Gate.Release();
        }

        /// <summary>Ends the call when nothing arrives within this time.</summary>
        internal void EndAfter(TimeSpan idle) => _ended.CancelAfter(idle);

        internal void EndByNext()
        {
            lock (_lock)
            {
                if (!_left)
                    _ended.Cancel();
            }
        }
    }

    internal sealed class Turns
    {
        internal SemaphoreSlim Gate { get; } = new(1);

        internal volatile Turn? Running;

        internal int Newest;
    }
}
