using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;
using Librarian.Orchestrations.Clone;

namespace Librarian.Tests.Durable.Reference;

/// <summary>What the product's workflows take from our engine rather than from Microsoft's abstractions.</summary>
public sealed class LockInTests
{
    /// <summary>
    /// Queues; operation id and cancellation of an activity, which answer neutrally elsewhere; and what only an engine inside the database
    /// can do, which schedulers use, not workflows: starts and events in a transaction.
    /// </summary>
    private static readonly string[] Ours =
    [
        "ActivityOptions",
        "DatabaseDurableTaskClient",
        "InstanceQuery",
        "OrchestrationStart",
        "StartResult",
        "TaskActivityContextExtensions",
    ];

    [Fact]
    public void Orchestrations_OfOurEngine_UseOnlyWhatMicrosoftsLacks()
    {
        using var file = new PEReader(File.OpenRead(typeof(SendClone).Assembly.Location));
        var metadata = file.GetMetadataReader();
        var used = metadata
            .TypeReferences.Select(metadata.GetTypeReference)
            .Where(type =>
                type.ResolutionScope.Kind == HandleKind.AssemblyReference
                && metadata.GetString(metadata.GetAssemblyReference((AssemblyReferenceHandle)type.ResolutionScope).Name)
                    == "Librarian.Durable"
            )
            .Select(type => metadata.GetString(type.Name))
            .Distinct(StringComparer.Ordinal)
            .Order(StringComparer.Ordinal);
        Assert.Empty(used.Except(Ours, StringComparer.Ordinal));
    }
}
