using Librarian.Client.Wire;
using Librarian.Domain.Configuration;
using Librarian.Orchestrations.TransferManagers.Local;

namespace Librarian.Orchestrations.TransferManagers;

/// <summary>The transfer managers of this site.</summary>
/// <param name="managers">In the order of preference.</param>
public sealed class TransferManagerChoice(IEnumerable<ITransferManager> managers)
{
    private readonly IReadOnlyList<ITransferManager> _managers = [.. managers];

    /// <summary>The preferred manager that can use an offer and reach the locations; null if none can.</summary>
    public ITransferManager? ChooseFor(
        IReadOnlyDictionary<string, AsyncProvider> offers,
        IReadOnlyCollection<string> locations,
        PeerOptions policy
    )
    {
        ArgumentNullException.ThrowIfNull(offers);
        return _managers.FirstOrDefault(m => offers.Values.Any(m.CanUse) && locations.All(l => m.CanReach(l, policy)))
            ?? _managers.FirstOrDefault(m => offers.Values.Any(m.CanUse));
    }

    /// <summary>The manager of a transfer that was staged before; transfers of earlier releases were all copied.</summary>
    public ITransferManager Of(string? name) =>
        _managers.FirstOrDefault(m => m.Name == name) ?? _managers.First(m => m.Name == LocalManager.ManagerName);
}
