using System.Reflection;
using Mono.Cecil;

namespace Librarian.Tests.Orchestrations.Architecture;

/// <summary>The built assemblies of the projects. They are read as files, because the programs are no references of this test.</summary>
internal static class Assemblies
{
    public static TheoryData<string> Projects => ["Domain", "Orchestrations", "Functions", "Durable", "Client", "Cli"];

    internal static ModuleDefinition Read(string project)
    {
        var path = typeof(Assemblies)
            .Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
            .SingleOrDefault(a => a.Key == project)
            ?.Value
            ?? Path.Combine(AppContext.BaseDirectory, $"Librarian.{project}.dll");
        // An enumeration among the arguments of an attribute can be read only with the assembly that declares it.
        var resolver = new DefaultAssemblyResolver();
        resolver.AddSearchDirectory(Path.GetDirectoryName(path));
        return ModuleDefinition.ReadModule(path, new ReaderParameters { AssemblyResolver = resolver });
    }
}
